import { DEFAULT_CAPS } from '../../src/agent/broker-session-caps.ts';
import type { SessionCaps } from '../../src/agent/config-types.ts';
import type { SessionSpace } from '../../src/agent/broker-session-journal.ts';
import { SessionStore } from '../../src/agent/broker-session-store.ts';
import { MemorySpace } from '../../src/agent/no-store.ts';
import { systemRandom } from '../../src/random.ts';
import type { LogReader } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

export interface RigOptions {
  readonly space?: SessionSpace;
  readonly reader?: Pick<LogReader, 'cursor'>;
  readonly caps?: Partial<SessionCaps>;
}

/** A session store over memory, or over the space of a life before. */
export function memorySessions(options: RigOptions = {}): Promise<SessionStore> {
  return SessionStore.load({
    space: options.space ?? new MemorySpace(),
    reader: options.reader,
    caps: { ...DEFAULT_CAPS, ...options.caps },
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
}
