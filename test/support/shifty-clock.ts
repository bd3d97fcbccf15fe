import { ClockTrust } from '../../src/clock-trust.ts';
import { LIMITS } from '../../src/limits.ts';
import { silentLogger, type Logger } from '../../src/telemetry.ts';
import type { SourceAnswer, TimeSource } from '../../src/time-source.ts';
import { SimClock } from './sim-clock.ts';

/** A time daemon that says what a test wants. */
export class TestSource implements TimeSource {
  readonly name = 'test daemon';
  readonly dear: boolean;
  answer: SourceAnswer;
  asked = 0;

  constructor(answer: SourceAnswer = { says: 'nothing' }, dear = false) {
    this.answer = answer;
    this.dear = dear;
  }

  ask(): Promise<SourceAnswer> {
    this.asked++;
    return Promise.resolve(this.answer);
  }
}

export interface BootOptions {
  readonly id?: string;
  readonly wallMs: number;
  /** Monotonic time at which the process begins. */
  readonly upMs?: number;
  readonly source?: TestSource;
  readonly policy?: 'ask' | 'always' | 'never';
  readonly logger?: Logger;
}

let boots = 0;

/** A machine that has just started: its wall clock, its boot, its trust. */
export interface ShiftyMachine {
  readonly clock: SimClock;
  readonly trust: ClockTrust;
  readonly source: TestSource;
  readonly id: string;
}

export async function startMachine(options: BootOptions): Promise<ShiftyMachine> {
  const { wallMs, upMs = 10_000, policy = 'ask', logger = silentLogger } = options;
  const clock = new SimClock(wallMs);
  const id = options.id ?? `boot-${boots++}`;
  const source = options.source ?? new TestSource();
  const trust = new ClockTrust({
    clock,
    boot: { id, monotonicMs: () => upMs + clock.monotonicMs() },
    logger,
    policy,
    sources: [source],
    maxDriftMs: LIMITS.clockDriftMs,
  });
  await trust.start();
  trust.announce();
  return { clock, trust, source, id };
}

export const RIGHT: SourceAnswer = { says: 'synchronised' };
export const NOT_YET: SourceAnswer = { says: 'unsynchronised' };
