import { assert } from '../assert.ts';

/**
 * A column of non-negative whole numbers as its smallest value and fixed-width differences from
 * it: 0, 1, 2 or 4 bytes each, or 8 (a float64) where a clock jumped by more than 49 days. The
 * width is the length divided by the count, so it is not stored. Equal values cost nothing.
 */
export interface Column {
  readonly min: number;
  readonly bytes: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** Writes `values[0..count)` into `scratch` at `at`; the column's bytes are a view of it. */
export function writeColumn(
  values: Float64Array,
  count: number,
  scratch: Buffer,
  at: number,
): Column {
  let min = Infinity;
  let max = -Infinity;
  for (let index = 0; index < count; index++) {
    const value = values[index] as number;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (count === 0 || max === min) return { min: count === 0 ? 0 : min, bytes: EMPTY };
  const width = widthFor(max - min);
  let place = at;
  for (let index = 0; index < count; index++) {
    const difference = (values[index] as number) - min;
    if (width === 1) scratch[place] = difference;
    else if (width === 2) scratch.writeUInt16LE(difference, place);
    else if (width === 4) scratch.writeUInt32LE(difference, place);
    else scratch.writeDoubleLE(difference, place);
    place += width;
  }
  return { min, bytes: scratch.subarray(at, place) };
}

/**
 * Reads `count` values into `target`. False when they are not all whole numbers that JavaScript
 * holds exactly, from `least` on, or the length fits no width.
 */
export function readColumn(
  { min, bytes }: Column,
  count: number,
  target: Float64Array,
  least: number,
): boolean {
  assert(target.length >= count, 'the column’s target has room');
  if (!Number.isSafeInteger(min) || min < least) return false;
  if (bytes.length === 0) {
    target.fill(min, 0, count);
    return true;
  }
  const width = bytes.length / count;
  let at = 0;
  if (width === 1) {
    for (let index = 0; index < count; index++) target[index] = min + (bytes[index] as number);
  } else if (width === 2) {
    for (let index = 0; index < count; index++, at += 2) {
      target[index] = min + (bytes[at] as number) + (bytes[at + 1] as number) * 256;
    }
  } else if (width === 4 || width === 8) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let index = 0; index < count; index++, at += width) {
      target[index] = min + (width === 4 ? view.getUint32(at, true) : view.getFloat64(at, true));
    }
    if (width === 8)
      return target.subarray(0, count).every((v) => v >= min && Number.isSafeInteger(v));
  } else {
    return false;
  }
  return true;
}

function widthFor(spread: number): 1 | 2 | 4 | 8 {
  if (spread <= 0xff) return 1;
  if (spread <= 0xffff) return 2;
  return spread <= 0xffff_ffff ? 4 : 8;
}
