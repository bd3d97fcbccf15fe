import type { AgentStatus } from '../admin/status.ts';

/** Per second, over the last seconds; null: nothing to compare with yet. */
export interface Rates {
  readonly recordsIn: number | null;
  readonly recordsOut: ReadonlyMap<string, number>;
}

const WINDOW_MS = 5000;

/** Rates from statuses that follow each other. */
export class RateMeter {
  #kept: AgentStatus[] = [];

  /** Statuses of another process begin anew. */
  take(status: AgentStatus): Rates {
    const [oldest] = this.#kept;
    if (oldest !== undefined && oldest.startedAt !== status.startedAt) this.#kept = [];
    this.#kept.push(status);
    while (this.#kept.length > 2 && status.uptimeMs - (this.#kept[1]?.uptimeMs ?? 0) >= WINDOW_MS) {
      this.#kept.shift();
    }
    const [from = status] = this.#kept;
    const seconds = (status.uptimeMs - from.uptimeMs) / 1000;
    if (seconds <= 0) return { recordsIn: null, recordsOut: new Map() };
    const [had, has] = [from.store?.recordsAppended, status.store?.recordsAppended];
    const recordsIn =
      had === undefined || has === undefined || has < had ? null : (has - had) / seconds;
    const before = new Map(from.mirrors.map((one) => [one.name, one.recordsSent]));
    const recordsOut = new Map<string, number>();
    for (const { name, recordsSent } of status.mirrors) {
      const sent = recordsSent - (before.get(name) ?? recordsSent);
      recordsOut.set(name, Math.max(0, sent) / seconds);
    }
    return { recordsIn, recordsOut };
  }
}
