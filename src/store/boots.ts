import type { TrustState } from '../clock-trust.ts';
import { LIMITS } from '../limits.ts';
import { isList, isWhole, type Unpacked } from './unpack.ts';

/** When something was written, by both clocks. `boot` is the store's own number of a boot. */
export interface ClockStamp {
  readonly boot: number;
  /** Whole milliseconds since that boot. */
  readonly monoMs: number;
  readonly wallMs: number;
  readonly trust: TrustState;
}

/**
 * What is known of a boot. Offsets are the wall clock's time at the boot: true time = offset +
 * monotonic time.
 */
export interface KnownBoot {
  /** Dense, ascending in time, never reused. */
  readonly number: number;
  readonly id: string;
  /** Monotonic time when the store was first open in it, and when it wrote last. */
  readonly firstMs: number;
  lastMs: number;
  /** As a source confirmed it. */
  knownMs: number | undefined;
  /** By a wall clock that nobody confirmed, and that was possible. */
  assumedMs: number | undefined;
  /** Monotonic time of the last commit whose clock was not trusted; -1: all were. */
  doubtMs: number;
}

/** How a commit's times differ from what the wall clock said. */
export interface Correction {
  /**
   * `corrected`: the boot learned the time. `estimated`: it never did; the best guess, perhaps the
   * clock's own word.
   */
  readonly trust: 'corrected' | 'estimated';
  /** To be added. */
  readonly deltaMs: number;
}

export type PackedBoot = [
  number: number,
  id: string,
  firstMs: number,
  lastMs: number,
  knownMs: number | null,
  assumedMs: number | null,
  doubtMs: number,
];

/**
 * The boots that wrote to this log, oldest first. By it the age of what was written is computed
 * without believing a wall clock, and the true time of what was written before the time was known.
 */
export class Boots {
  #list: KnownBoot[] = [];
  /** Grows with everything that changes a correction. */
  version = 0;

  get last(): KnownBoot | undefined {
    return this.#list.at(-1);
  }

  packed(newest: number = LIMITS.clockBoots): PackedBoot[] {
    return this.#list
      .slice(-newest)
      .map(({ number, id, firstMs, lastMs, knownMs, assumedMs, doubtMs }) => [
        number,
        id,
        firstMs,
        lastMs,
        knownMs ?? null,
        assumedMs ?? null,
        doubtMs,
      ]);
  }

  /** Adds boots that are not known yet, and what is newer of those that are. */
  restore(boots: readonly PackedBoot[]): void {
    for (const [number, id, firstMs, lastMs, known, assumed, doubtMs] of boots) {
      const there = this.#list.find((boot) => boot.number === number);
      const knownMs = there?.knownMs ?? known ?? undefined;
      const assumedMs = there?.assumedMs ?? assumed ?? undefined;
      if (there === undefined) {
        this.#list.push({ number, id, firstMs, lastMs, knownMs, assumedMs, doubtMs });
      } else {
        there.lastMs = Math.max(there.lastMs, lastMs);
        there.doubtMs = Math.max(there.doubtMs, doubtMs);
        Object.assign(there, { knownMs, assumedMs });
      }
    }
    this.#list.sort((left, right) => left.number - right.number);
    this.version++;
  }

  /** The present boot: the last one, going on, or a new one. */
  begin(id: string, monoMs: number): { readonly boot: KnownBoot; readonly isNew: boolean } {
    const { last } = this;
    // A monotonic clock never runs back: if it seems to, this is another life under the same name.
    if (last !== undefined && last.id === id && monoMs >= last.lastMs) {
      return { boot: last, isNew: false };
    }
    const number = (last?.number ?? 0) + 1;
    const life = { number, id, firstMs: monoMs, lastMs: monoMs, doubtMs: -1 };
    const entry: KnownBoot = { ...life, knownMs: undefined, assumedMs: undefined };
    this.#list = [...this.#list.slice(1 - LIMITS.clockBoots), entry];
    this.version++;
    return { boot: entry, isNew: true };
  }

  /** Something was written in a boot. */
  note({ boot, monoMs, trust }: ClockStamp): void {
    const entry = this.#find(boot) ?? this.#stranger(boot, monoMs);
    if (monoMs > entry.lastMs) entry.lastMs = monoMs;
    if (trust !== 'trusted' && monoMs > entry.doubtMs) entry.doubtMs = monoMs;
  }

  /** undefined: the clock's word is the best there is, and nothing is to be said about it. */
  correction(stamp: ClockStamp): Correction | undefined {
    if (stamp.trust === 'trusted') return undefined;
    const boot = this.#find(stamp.boot);
    const offsetMs = stamp.wallMs - stamp.monoMs;
    if (boot?.knownMs !== undefined) {
      const deltaMs = boot.knownMs - offsetMs;
      if (Math.abs(deltaMs) < LIMITS.clockToleranceMs) return undefined;
      return { trust: 'corrected', deltaMs };
    }
    if (stamp.trust === 'unconfirmed') return undefined;
    const estimateMs = boot === undefined ? offsetMs : this.#estimate(boot, stamp);
    return { trust: 'estimated', deltaMs: estimateMs - offsetMs };
  }

  /**
   * At least how long before `now` the stamp was set: by the monotonic clock within a boot and by
   * confirmed times across boots; where there are none, the boots' own lengths are added up.
   */
  ageMs(stamp: ClockStamp, now: ClockStamp): number {
    let beganMs = -Infinity; // When the boot began, counted from the stamp.
    let anchorMs = -Infinity; // The same, minus the boot's confirmed time: any confirmed boot's.
    let lengthMs = 0;
    for (const boot of this.#list) {
      if (boot.number < stamp.boot) continue;
      if (beganMs > -Infinity) beganMs += lengthMs;
      else beganMs = boot.number === stamp.boot ? -stamp.monoMs : -boot.firstMs;
      if (boot.knownMs !== undefined) {
        beganMs = Math.max(beganMs, anchorMs + boot.knownMs);
        anchorMs = beganMs - boot.knownMs;
      }
      if (boot.number === now.boot) return beganMs + now.monoMs;
      lengthMs = boot.lastMs;
    }
    return 0;
  }

  /**
   * No record whose time was corrected or estimated, in a commit up to the one of this stamp, has a
   * later time than this. It only grows from stamp to stamp. -1: there is none.
   */
  latestMs(stamp: ClockStamp): number {
    let latest = -1;
    for (const boot of this.#list) {
      if (boot.number > stamp.boot) break;
      if (boot.doubtMs < 0) continue;
      const offset = boot.knownMs ?? this.#estimate(boot, undefined);
      const monoMs = boot.number === stamp.boot ? stamp.monoMs : boot.lastMs;
      latest = Math.max(latest, offset + Math.min(monoMs, boot.doubtMs));
    }
    return latest;
  }

  /** The boot's offset as well as it can be told, where a stamp is given also by what that says. */
  #estimate(boot: KnownBoot, stamp: ClockStamp | undefined): number {
    const said = stamp === undefined ? undefined : stamp.wallMs - stamp.monoMs;
    const isPossible = stamp !== undefined && stamp.wallMs >= LIMITS.clockEarliestMs;
    const offset = isPossible ? said : (boot.assumedMs ?? said);
    const latest = this.#beginOfNextKnown(boot) - boot.lastMs;
    const earliest = this.#endOfLastKnown(boot);
    return Math.max(earliest, Math.min(offset ?? earliest, latest));
  }

  /** It began after the boots before it had ended, and after this software was made. */
  #endOfLastKnown(boot: KnownBoot): number {
    let endMs: number = LIMITS.clockEarliestMs;
    let isSure = false;
    for (const { number, knownMs, assumedMs, lastMs } of this.#list) {
      if (number >= boot.number) break;
      const offset = knownMs ?? (isSure ? undefined : assumedMs);
      isSure ||= knownMs !== undefined;
      endMs = Math.max(endMs, offset ?? -Infinity) + lastMs;
    }
    return endMs;
  }

  #beginOfNextKnown(boot: KnownBoot): number {
    const next = this.#list.find(
      ({ number, knownMs }) => number > boot.number && knownMs !== undefined,
    );
    return next?.knownMs ?? Infinity;
  }

  /** Its commits are there and nothing tells of it: its number is taken all the same. */
  #stranger(number: number, monoMs: number): KnownBoot {
    const life = { number, id: '', firstMs: monoMs, lastMs: monoMs, doubtMs: -1 };
    const entry: KnownBoot = { ...life, knownMs: undefined, assumedMs: undefined };
    this.#list = [...this.#list, entry].toSorted((left, right) => left.number - right.number);
    return entry;
  }

  #find(number: number): KnownBoot | undefined {
    const { last } = this;
    if (last?.number === number) return last;
    return this.#list.find((boot) => boot.number === number);
  }
}

/** undefined when any of them is no boot. */
export function unpackBoots(packed: Unpacked | undefined): readonly PackedBoot[] | undefined {
  if (!isList(packed) || packed.length > LIMITS.clockBoots) return undefined;
  const boots: PackedBoot[] = [];
  for (const entry of packed) {
    const boot = isList(entry) ? unpackBoot(entry) : undefined;
    if (boot === undefined) return undefined;
    boots.push(boot);
  }
  return boots;
}

function unpackBoot(packed: readonly Unpacked[]): PackedBoot | undefined {
  const [number, id, firstMs, lastMs, knownMs = null, assumedMs = null, doubtMs] = packed;
  if (!isWhole(number) || typeof id !== 'string' || !isWhole(firstMs)) return undefined;
  if (!isWhole(lastMs) || !isTime(knownMs) || !isTime(assumedMs)) return undefined;
  if (typeof doubtMs !== 'number' || !Number.isSafeInteger(doubtMs)) return undefined;
  return [number, id, firstMs, lastMs, knownMs, assumedMs, doubtMs];
}

function isTime(value: Unpacked): value is number | null {
  return value === null || (typeof value === 'number' && Number.isSafeInteger(value));
}
