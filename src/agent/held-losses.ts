import { LIMITS } from '../limits.ts';
import type { Loss } from '../loss.ts';
import type { LossLedger } from '../store/log.ts';
import type { Clock } from '../time.ts';

interface Held {
  readonly loss: Loss;
  readonly records: number;
  readonly bytes: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Beyond the bound counts of further topics stand under this name. */
const OTHERS = '(further topics)';

/**
 * Stands in for the ledger of a log that can't be opened: counts of dropped messages wait here, in
 * memory, until there is one. They have no offsets, so that adding them up says all of them.
 */
export class HeldLosses implements Pick<LossLedger, 'record'> {
  readonly #clock: Clock;
  #held = new Map<string, Held>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get records(): number {
    let sum = 0;
    for (const { records } of this.#held.values()) sum += records;
    return sum;
  }

  record(losses: readonly Loss[]): Promise<void> {
    for (const loss of losses) this.#add(loss);
    return Promise.resolve();
  }

  /** Tells what was held, with its times. When that fails it is held on, with what came meanwhile. */
  async into(ledger: Pick<LossLedger, 'record'>): Promise<void> {
    const told = this.#held;
    if (told.size === 0) return;
    this.#held = new Map();
    try {
      await ledger.record(
        [...told.values()].map(({ loss, records, bytes, fromMs, toMs }) => ({
          ...loss,
          records,
          bytes,
          detail: `${loss.detail} (the log was not open)`,
          heldMs: [fromMs, toMs],
        })),
      );
    } catch (error) {
      for (const held of told.values()) this.#hold(held);
      throw error;
    }
  }

  #add(loss: Loss): void {
    const nowMs = this.#clock.nowMs();
    const { records, bytes = 0 } = loss;
    this.#hold({ loss, records, bytes, fromMs: nowMs, toMs: nowMs });
  }

  #hold({ loss, records, bytes, fromMs, toMs }: Held): void {
    let key = `${loss.topic} ${loss.reason} ${loss.detail}`;
    const isOther =
      loss.topic === OTHERS ||
      (!this.#held.has(key) && this.#held.size >= LIMITS.ledgerOpenEntries);
    if (isOther) key = OTHERS;
    const known = this.#held.get(key);
    this.#held.set(key, {
      loss: known?.loss ?? (isOther ? { ...loss, topic: OTHERS } : loss),
      records: (known?.records ?? 0) + records,
      bytes: (known?.bytes ?? 0) + bytes,
      fromMs: Math.min(known?.fromMs ?? fromMs, fromMs),
      toMs: Math.max(known?.toMs ?? toMs, toMs),
    });
  }
}
