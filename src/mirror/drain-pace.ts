import { MIRROR_LIMITS } from '../mirror-limits.ts';
import { SettledRate } from './settled-rate.ts';

/** How far a topic had grown at a moment. */
interface Mark {
  readonly atMs: number;
  readonly end: number;
}

const MARK_EVERY_MS = 5000;
const MARKS = 12;
/** What is sent so soon is on its way, and no backlog. */
const SOON_MS = 5000;
/** Of what goes: where the backlog shrinks by less, nobody knows when it ends. */
const LEAST_SHARE = 0.02;

/**
 * How fast a topic's backlog becomes smaller: by what was settled in the last minute, less what came meanwhile.
 * `end`: the sum of the topic's end offsets. Times are monotonic, in ms.
 */
export class DrainPace {
  readonly #out: SettledRate;
  #marks: Mark[];

  constructor(nowMs: number, end: number) {
    this.#out = new SettledRate(nowMs);
    this.#marks = [{ atMs: nowMs, end }];
  }

  note(records: number, nowMs: number, end: () => number): void {
    this.#out.note(records, nowMs);
    const last = this.#marks.at(-1);
    if (last !== undefined && nowMs - last.atMs < MARK_EVERY_MS) return;
    this.#marks = [...this.#marks, { atMs: nowMs, end: end() }].slice(-MARKS);
  }

  /** Until so many are settled, and what comes before; undefined: nothing moves, or as much comes as goes. */
  etaMs(records: number, nowMs: number, end: number): number | undefined {
    const outPerMs = this.#out.at(nowMs);
    if (outPerMs === 0 || nowMs - this.#out.lastMs > MIRROR_LIMITS.etaWithinMs) return undefined;
    const soonMs = records / outPerMs;
    if (soonMs <= SOON_MS) return Math.round(soonMs);
    const netPerMs = outPerMs - this.#inPerMs(nowMs, end);
    return netPerMs < outPerMs * LEAST_SHARE ? undefined : Math.round(records / netPerMs);
  }

  #inPerMs(nowMs: number, end: number): number {
    const windowMs = MARKS * MARK_EVERY_MS;
    const first = this.#marks.find(({ atMs }) => nowMs - atMs <= windowMs) ?? this.#marks.at(-1);
    if (first === undefined || nowMs - first.atMs < MARK_EVERY_MS) return 0;
    return Math.max(0, end - first.end) / (nowMs - first.atMs);
  }
}
