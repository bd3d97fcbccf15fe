import type { TrustState } from '../clock-status.ts';
import type { ClockStamp } from './boots.ts';
import { isList, type Unpacked } from './unpack.ts';
import { readVarints, VarintWriter } from './varint.ts';

/**
 * The clocks at a commit, as varints: number of the boot × 16 + which times are ours × 4 + trust;
 * monotonic time; wall clock minus the head's first time, with its sign in the lowest bit. Where
 * some of the records have times that came with them, a bit for each record stands beside, in their
 * order.
 */
export interface CommitClock {
  readonly stamp: ClockStamp;
  readonly given: GivenTimes;
}

/**
 * Which records have a time that came with them, as from another gateway: those are never
 * corrected by our clock.
 */
export type GivenTimes = 'none' | 'all' | Uint8Array;

export type PackedCommitClock = Uint8Array | readonly [clocks: Uint8Array, given: Uint8Array];

const TRUST: readonly TrustState[] = ['trusted', 'unconfirmed', 'suspect'];
const [NONE, ALL, SOME] = [0, 1, 2];
const BOOTS_MAX = 2 ** 40;

const writer = new VarintWriter();

/** `minTime`: the head's first time. The bytes are a copy. */
export function packClock({ stamp, given }: CommitClock, minTime: number): PackedCommitClock {
  const { boot, monoMs, wallMs, trust } = stamp;
  const kind = given === 'none' ? NONE : given === 'all' ? ALL : SOME;
  const difference = wallMs - minTime;
  writer.reset();
  writer.write(boot * 16 + kind * 4 + TRUST.indexOf(trust));
  writer.write(monoMs);
  writer.write(difference < 0 ? -2 * difference - 1 : 2 * difference);
  const clocks = Uint8Array.from(writer.bytes());
  return typeof given === 'string' ? clocks : [clocks, given];
}

/** undefined when these are no clocks of a commit of `count` records. */
export function readClock(
  packed: Unpacked,
  minTime: number,
  count: number,
): CommitClock | undefined {
  const [clocks, bits] = isList(packed) ? packed : [packed];
  const numbers = clocks instanceof Uint8Array ? readVarints(clocks, 3) : undefined;
  const [first = 0, monoMs = 0, signed] = numbers ?? [];
  if (signed === undefined) return undefined;
  const difference = signed % 2 === 0 ? signed / 2 : -(signed + 1) / 2;
  const boot = Math.floor(first / 16);
  const wallMs = minTime + difference;
  const trust = TRUST[first % 4];
  const given = givenOf(Math.floor(first / 4) % 4, bits, count);
  if (trust === undefined || given === undefined || boot > BOOTS_MAX) return undefined;
  return Number.isSafeInteger(wallMs)
    ? { stamp: { boot, monoMs, wallMs, trust }, given }
    : undefined;
}

function givenOf(kind: number, bits: Unpacked | undefined, count: number): GivenTimes | undefined {
  if (kind === SOME) {
    const fits = bits instanceof Uint8Array && bits.length === Math.ceil(count / 8);
    return fits ? bits : undefined;
  }
  if (bits !== undefined) return undefined;
  if (kind === NONE) return 'none';
  return kind === ALL ? 'all' : undefined;
}

export function trustOf(text: Unpacked | undefined): TrustState | undefined {
  return TRUST.find((state) => state === text);
}

/** Whether the record at `place` of its commit has a time that came with it. */
export function isGiven(given: GivenTimes, place: number): boolean {
  if (typeof given === 'string') return given === 'all';
  return (((given[place >>> 3] ?? 0) >>> (place & 7)) & 1) === 1;
}
