import { LIMITS } from '../../src/limits.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import type { MirrorOptions } from '../../src/mirror/mirror-options.ts';
import { seededRandom } from '../../src/random.ts';
import type { PositionStore, TopicInfo } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { SimulatedUpstream, type SimulatedUpstreamOptions } from '../support/simulated-upstream.ts';

/** A mirror between a log and a far side in memory, in simulated time. */
export interface Rig {
  readonly clock: SimClock;
  readonly log: MemoryLog;
  readonly positions: PositionStore;
  readonly quarantine: TopicInfo;
  readonly upstream: SimulatedUpstream;
  readonly mirror: Mirror;
  /** Another mirror on the same log and positions, as after a restart. */
  readonly again: (options?: Partial<MirrorOptions>) => Mirror;
  /** What the far side holds, as text. */
  readonly texts: () => string[];
}

export function rig(
  upstreamOptions: Partial<SimulatedUpstreamOptions> = {},
  mirrorOptions: Partial<MirrorOptions> = {},
): Rig {
  const clock = new SimClock();
  const log = new MemoryLog();
  const quarantine = log.topic('_quarantine');
  const positions = log.positions();
  const upstream = new SimulatedUpstream({ clock, exactlyOnce: true, ...upstreamOptions });
  const again = (options: Partial<MirrorOptions> = {}): Mirror =>
    new Mirror({
      name: 'central',
      gateway: 'gw',
      incarnation: 'abc',
      reader: log.reader,
      positions,
      ledger: log.ledger,
      quarantine: { writer: log.writer, topic: quarantine },
      decisions: log.keyValue,
      sampled: log.sampled,
      upstream,
      topics: ['*'],
      clock,
      random: seededRandom(1),
      logger: silentLogger,
      ...mirrorOptions,
      ...options,
    });
  const texts = (): string[] =>
    upstream.delivered.map(({ record }) => Buffer.from(record.value ?? []).toString());
  const mirror = again();
  return { clock, log, positions, quarantine, upstream, mirror, again, texts };
}

/** Longer than a whole back-off. */
export const LONG_MS: number = LIMITS.backoffMaxMs * 2;
