import { DAY_MS, HOUR_MS } from '../units.ts';

/** What was written in some stretch of time, in bytes; counts for the last two. */
export interface WearAmounts {
  /** By this process, as the kernel counts pages it made dirty and that were not thrown away. */
  readonly process: number;
  /** To the block device that holds the data folder, and to the whole disk it is on; by anyone. */
  readonly volume: number;
  readonly disk: number;
  /** Keys, values and headers appended to the log. */
  readonly payload: number;
  readonly commits: number;
  readonly syncs: number;
}

export interface WearSlot extends WearAmounts {
  readonly ms: number;
}

export const NOTHING_WRITTEN: WearAmounts = {
  process: 0,
  volume: 0,
  disk: 0,
  payload: 0,
  commits: 0,
  syncs: 0,
};

const SLOT_MS = HOUR_MS;
const FIELDS = ['process', 'volume', 'disk', 'payload', 'commits', 'syncs'] as const;

/**
 * The last day as a row of slots of about an hour each, oldest first; every slot knows how long it
 * is, so that neither restarts nor clocks that jump bring it out of step.
 */
export class WearDay {
  #slots: WearSlot[] = [];

  /** From what `slots` gave before, possibly damaged: then the day begins anew. */
  static restore(value: unknown): WearDay {
    const day = new WearDay();
    if (Array.isArray(value) && value.every((slot) => isSlot(slot))) day.#slots = value;
    return day;
  }

  get slots(): readonly WearSlot[] {
    return this.#slots;
  }

  /** `ms` passed, in which so much was written. */
  add(ms: number, amounts: WearAmounts): void {
    const last = this.#slots.at(-1);
    if (last === undefined || last.ms >= SLOT_MS) this.#slots.push({ ms, ...amounts });
    else this.#slots[this.#slots.length - 1] = { ms: last.ms + ms, ...sum([last, amounts]) };
    let all = this.#slots.reduce((whole, slot) => whole + slot.ms, 0);
    for (const slot of this.#slots.slice()) {
      if (all - slot.ms < DAY_MS) break;
      this.#slots.shift();
      all -= slot.ms;
    }
  }

  /** The last day, up to an hour more of it, or as much as there is. */
  total(): WearSlot {
    return { ms: this.#slots.reduce((whole, slot) => whole + slot.ms, 0), ...sum(this.#slots) };
  }
}

/** At the same rate all day. */
export function perDay({ ms }: { readonly ms: number }, amount: number): number {
  return ms === 0 ? 0 : (amount * DAY_MS) / ms;
}

/** undefined where there is nothing to divide by. */
export function ratio(amount: number, to: number): number | undefined {
  return to > 0 ? amount / to : undefined;
}

export function sum(parts: readonly WearAmounts[]): WearAmounts {
  const total: Record<keyof WearAmounts, number> = { ...NOTHING_WRITTEN };
  for (const part of parts) for (const field of FIELDS) total[field] += part[field];
  return total;
}

function isSlot(value: unknown): value is WearSlot {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return [...FIELDS, 'ms'].every((field) => {
    const number = fields[field];
    return typeof number === 'number' && Number.isFinite(number) && number >= 0;
  });
}
