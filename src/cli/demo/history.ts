import type { FlowHistory } from './state.ts';

/** Totals as they stand at one moment. */
export interface FlowTotals {
  readonly acknowledged: number;
  /** undefined: not known now, the agent is down. */
  readonly mirrored: number | undefined;
  readonly lagRecords: number | undefined;
}

/** Seconds that are remembered: as many as the widest view draws. */
const KEPT = 150;

/** Turns totals into figures per second, one for every call of `second`. */
export class History {
  readonly #in: number[] = [];
  readonly #out: number[] = [];
  readonly #lag: number[] = [];
  #atMs: number | undefined;
  #acknowledged = 0;
  #mirrored: number | undefined;
  #lagRecords = 0;

  /** Called about once a second; what is unknown counts as no progress, and the lag as it was. */
  second(nowMs: number, totals: FlowTotals): void {
    const elapsedMs = this.#atMs === undefined ? 0 : nowMs - this.#atMs;
    const { acknowledged, mirrored = this.#mirrored, lagRecords = this.#lagRecords } = totals;
    if (elapsedMs > 0) {
      const perSecond = (delta: number): number => Math.max(0, (delta * 1000) / elapsedMs);
      push(this.#in, perSecond(acknowledged - this.#acknowledged));
      push(this.#out, perSecond((mirrored ?? 0) - (this.#mirrored ?? mirrored ?? 0)));
      push(this.#lag, lagRecords);
    }
    this.#atMs = nowMs;
    this.#acknowledged = acknowledged;
    this.#mirrored = mirrored;
    this.#lagRecords = lagRecords;
  }

  view(): FlowHistory {
    return { inPerSecond: this.#in, outPerSecond: this.#out, lagRecords: this.#lag };
  }
}

function push(values: number[], value: number): void {
  values.push(value);
  if (values.length > KEPT) values.shift();
}
