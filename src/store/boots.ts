import type { TrustState } from '../clock-status.ts';
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
  /** By a wall clock that nobody confirmed, and that nothing spoke against. */
  unopposedMs: number | undefined;
  /** Monotonic time from which on that was so. */
  unopposedFromMs: number;
  /** Monotonic time of the last commit whose clock was not trusted; -1: all were. */
  doubtMs: number;
  /** Of the last one whose clock was suspect. */
  suspectMs: number;
  /** Oldest first. */
  returns: readonly ClockReturn[];
}

/**
 * A wall clock that nobody confirmed was suspect, and came back to where it was before: at both
 * monotonic times it was taken for right, with the same offset, so in between that was right, too.
 */
export interface ClockReturn {
  readonly offsetMs: number;
  readonly fromMs: number;
  readonly toMs: number;
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
  /** Of older versions these are missing. */
  unopposedMs?: number | null,
  unopposedFromMs?: number,
  suspectMs?: number,
  /** Three numbers each. */
  ...returns: number[],
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
    return this.#list.slice(-newest).map(packBoot);
  }

  /** Adds boots that are not known yet, and what is newer of those that are. */
  restore(boots: readonly PackedBoot[]): void {
    for (const boot of boots.map(bootOf)) {
      const there = this.#list.find(({ number }) => number === boot.number);
      if (there === undefined) {
        this.#list.push(boot);
        continue;
      }
      there.lastMs = Math.max(there.lastMs, boot.lastMs);
      there.doubtMs = Math.max(there.doubtMs, boot.doubtMs);
      there.suspectMs = Math.max(there.suspectMs, boot.suspectMs);
      there.knownMs ??= boot.knownMs;
      there.assumedMs ??= boot.assumedMs;
      if (there.unopposedMs === undefined) {
        const { unopposedMs, unopposedFromMs } = boot;
        Object.assign(there, { unopposedMs, unopposedFromMs });
      }
      if (endOf(boot.returns) > endOf(there.returns)) there.returns = boot.returns;
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
    const entry = unknownBoot(number, id, monoMs);
    this.#list = [...this.#list.slice(1 - LIMITS.clockBoots), entry];
    this.version++;
    return { boot: entry, isNew: true };
  }

  /** The newest time that a boot before this one knew for sure; undefined: none did. */
  sureBefore(number: number): number | undefined {
    const times = this.#list.flatMap(({ number: other, knownMs, lastMs }) =>
      other < number && knownMs !== undefined ? [knownMs + lastMs] : [],
    );
    return times.length === 0 ? undefined : Math.max(...times);
  }

  /** The newest time up to now that nobody confirmed and nothing spoke against; undefined: there is none. */
  unopposed(): number | undefined {
    const times = this.#list.flatMap(({ unopposedMs, lastMs }) =>
      unopposedMs === undefined ? [] : [unopposedMs + lastMs],
    );
    return times.length === 0 ? undefined : Math.max(...times);
  }

  /** Something was written in a boot. */
  note({ boot, monoMs, trust }: ClockStamp): void {
    const entry = this.#find(boot) ?? this.#stranger(boot, monoMs);
    if (monoMs > entry.lastMs) entry.lastMs = monoMs;
    if (trust !== 'trusted' && monoMs > entry.doubtMs) entry.doubtMs = monoMs;
    if (trust === 'suspect' && monoMs > entry.suspectMs) entry.suspectMs = monoMs;
  }

  /** A clock that nobody confirmed is taken for right. Whether that is news. */
  taken(boot: KnownBoot, offsetMs: number, monoMs: number): boolean {
    if (isOther(boot.unopposedMs, offsetMs)) {
      boot.unopposedMs = offsetMs;
      boot.unopposedFromMs = monoMs;
      return true;
    }
    const { unopposedFromMs: fromMs, suspectMs, returns } = boot;
    if (suspectMs <= Math.max(fromMs, endOf(returns))) return false;
    const others = returns.filter((one) => one.fromMs !== fromMs);
    if (others.length === LIMITS.clockReturns) return false;
    boot.returns = [...others, { offsetMs, fromMs, toMs: monoMs }];
    return true;
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
      const offset = boot.knownMs ?? this.#latestOffset(boot);
      const monoMs = boot.number === stamp.boot ? stamp.monoMs : boot.lastMs;
      latest = Math.max(latest, offset + Math.min(monoMs, boot.doubtMs));
    }
    return latest;
  }

  /** The boot's offset as well as it can be told, where a stamp is given also by what that says. */
  #estimate(boot: KnownBoot, stamp: ClockStamp | undefined): number {
    const said = stamp === undefined ? undefined : stamp.wallMs - stamp.monoMs;
    const isPossible = stamp !== undefined && stamp.wallMs >= LIMITS.clockEarliestMs;
    const offset = isPossible ? said : (assumedOf(boot) ?? said);
    return this.#within(boot, returnOf(boot, stamp)?.offsetMs ?? offset);
  }

  /** What is estimated goes by none that is later, but for what is possible by itself. */
  #latestOffset(boot: KnownBoot): number {
    const returned = boot.returns.map(({ offsetMs }) => this.#within(boot, offsetMs));
    return Math.max(this.#estimate(boot, undefined), ...returned);
  }

  /** It lies between its neighbours. */
  #within(boot: KnownBoot, offsetMs: number | undefined): number {
    const latest = this.#beginOfNextKnown(boot) - boot.lastMs;
    const earliest = this.#endOfLastKnown(boot);
    return Math.max(earliest, Math.min(offsetMs ?? earliest, latest));
  }

  /** It began after the boots before it had ended, and after this software was made. */
  #endOfLastKnown(boot: KnownBoot): number {
    let endMs: number = LIMITS.clockEarliestMs;
    let isSure = false;
    for (const other of this.#list) {
      const { number, knownMs, lastMs } = other;
      if (number >= boot.number) break;
      const offset = knownMs ?? (isSure ? undefined : assumedOf(other));
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
    const entry = unknownBoot(number, '', monoMs);
    this.#list = [...this.#list, entry].toSorted((left, right) => left.number - right.number);
    return entry;
  }

  #find(number: number): KnownBoot | undefined {
    const { last } = this;
    if (last?.number === number) return last;
    return this.#list.find((boot) => boot.number === number);
  }
}

function unknownBoot(number: number, id: string, monoMs: number): KnownBoot {
  return bootOf([number, id, monoMs, monoMs, null, null, -1]);
}

/** The offset by the wall clock, rather when nothing spoke against it. */
function assumedOf({ unopposedMs, assumedMs }: KnownBoot): number | undefined {
  return unopposedMs ?? assumedMs;
}

function returnOf(boot: KnownBoot, stamp: ClockStamp | undefined): ClockReturn | undefined {
  if (stamp === undefined) return undefined;
  return boot.returns.find(({ fromMs, toMs }) => fromMs <= stamp.monoMs && stamp.monoMs <= toMs);
}

function endOf(returns: readonly ClockReturn[]): number {
  return returns.at(-1)?.toMs ?? -1;
}

/** Whether a wall clock says something else than was known. */
export function isOther(knownMs: number | undefined, offsetMs: number): boolean {
  return knownMs === undefined || Math.abs(knownMs - offsetMs) > LIMITS.clockDriftMs;
}

function packBoot(boot: KnownBoot): PackedBoot {
  const { number, id, firstMs, lastMs, knownMs, assumedMs, doubtMs, unopposedMs } = boot;
  return [
    number,
    id,
    firstMs,
    lastMs,
    knownMs ?? null,
    assumedMs ?? null,
    doubtMs,
    unopposedMs ?? null,
    boot.unopposedFromMs,
    boot.suspectMs,
    ...boot.returns.flatMap(({ offsetMs, fromMs, toMs }) => [offsetMs, fromMs, toMs]),
  ];
}

function bootOf(packed: PackedBoot): KnownBoot {
  const [number, id, firstMs, lastMs, known, assumed, doubtMs, unopposed, from, suspect] = packed;
  const returns: ClockReturn[] = [];
  for (let at = 10; at + 2 < packed.length; at += 3) {
    const [offsetMs, fromMs, toMs] = packed.slice(at, at + 3) as [number, number, number];
    returns.push({ offsetMs, fromMs, toMs });
  }
  return {
    number,
    id,
    firstMs,
    lastMs,
    knownMs: known ?? undefined,
    assumedMs: assumed ?? undefined,
    unopposedMs: unopposed ?? undefined,
    unopposedFromMs: from ?? lastMs,
    doubtMs,
    suspectMs: suspect ?? -1,
    returns,
  };
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
  const [unopposedMs = null, ...rest] = packed.slice(7);
  if (!isWhole(number) || typeof id !== 'string' || !isWhole(firstMs)) return undefined;
  if (!isWhole(lastMs) || !isTime(knownMs) || !isTime(assumedMs)) return undefined;
  if (!isTime(unopposedMs) || !isInteger(doubtMs) || !rest.every(isInteger)) return undefined;
  const isWholeReturns = rest.length === 0 || rest.length % 3 === 2;
  if (!isWholeReturns || rest.length > 2 + 3 * LIMITS.clockReturns) return undefined;
  return [number, id, firstMs, lastMs, knownMs, assumedMs, doubtMs, unopposedMs, ...rest];
}

function isTime(value: Unpacked): value is number | null {
  return value === null || isInteger(value);
}

function isInteger(value: Unpacked | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}
