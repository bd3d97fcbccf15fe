import type { AgentStatus } from '../../admin/status.ts';
import type { Random } from '../../random.ts';
import type { Clock } from '../../time.ts';

/** What was looked at, and how it came out. */
export interface Check {
  /** What must hold, as a sentence. */
  readonly text: string;
  readonly ok: boolean;
  /** Figures, and what was found instead. */
  readonly detail: string;
}

export interface ExerciseResult {
  /** What was done and how often, with figures. */
  readonly done: string;
  readonly checks: readonly Check[];
  /** How far the exercise goes on this machine, where that is not all the way. */
  readonly note?: string;
}

export interface ExerciseSettings {
  /** Empty, and its own. */
  readonly folder: string;
  /** How long to go on with faults; what is done afterwards has bounds of its own. */
  readonly forMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly env: NodeJS.ProcessEnv;
  /** Somebody wants out: finish at once. */
  readonly signal: AbortSignal;
  readonly ask: (dataFolder: string) => Promise<AgentStatus>;
}

export interface Exercise {
  readonly name: 'kill' | 'power' | 'disk' | 'clock' | 'link';
  readonly title: string;
  /** Part of the whole time. */
  readonly share: number;
  run(settings: ExerciseSettings): Promise<ExerciseResult>;
}

/** Polls until the condition holds; false when it does not in time, or when somebody wants out. */
export async function holds(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
  { clock, signal }: Pick<ExerciseSettings, 'clock' | 'signal'>,
): Promise<boolean> {
  const untilMs = clock.monotonicMs() + withinMs;
  for (;;) {
    if (await condition()) return true;
    if (signal.aborted || clock.monotonicMs() > untilMs) return false;
    await clock.sleep(POLL_MS, signal);
  }
}

const POLL_MS = 50;

export function between(random: Random, low: number, high: number): number {
  return Math.round(low + random.next() * (high - low));
}
