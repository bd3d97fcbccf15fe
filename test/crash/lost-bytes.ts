import { closeSync, openSync, readSync, statSync, truncateSync, writeSync } from 'node:fs';
import type { Random } from '../../src/random.ts';

/** Sizes in which disks tear: a sector, and a page of the cache (or a sector of newer disks). */
const TEARS = [512, 4096] as const;

export type Tear = 'kept' | 'cut' | 'torn' | 'holes';

export interface LostBytes {
  readonly tear: Tear;
  /** Written, not covered by a sync, and taken or spoiled. */
  readonly bytes: number;
}

export interface Loss {
  /** Bytes from the beginning that a sync covered. */
  readonly covered: number;
  /** Files whose bytes may have stood on the disk before, where the lost ones do not stand now. */
  readonly others: readonly string[];
  readonly random: Random;
}

/**
 * What a power cut leaves of a file's bytes after the first `covered` ones: everything, nothing,
 * a part that ends anywhere, a part that ends with a sector or a page and is followed by what a disk
 * shows instead, or holes anywhere (the size reached the disk, and some of the pages did).
 */
export function loseBytes(path: string, loss: Loss): LostBytes {
  const { covered, random } = loss;
  const { size } = statSync(path);
  if (size <= covered) return { tear: 'kept', bytes: 0 };
  const fate = random.next();
  if (fate < 0.15) return { tear: 'kept', bytes: 0 };
  if (fate < 0.5) return cutAt(path, fate < 0.3 ? covered : between(covered, size, random), size);
  const step = TEARS[random.next() < 0.5 ? 0 : 1];
  if (fate < 0.8) return tearAt(path, alignUp(between(covered, size, random), step, size), loss);
  return punch(path, step, loss);
}

function between(low: number, high: number, random: Random): number {
  return low + Math.floor(random.next() * (high - low));
}

function alignUp(at: number, step: number, most: number): number {
  return Math.min(most, Math.ceil(at / step) * step);
}

function cutAt(path: string, keep: number, size: number): LostBytes {
  truncateSync(path, keep);
  return { tear: 'cut', bytes: size - keep };
}

/** Up to a boundary it was written; behind it stands what the disk shows, or the file ends. */
function tearAt(path: string, from: number, loss: Loss): LostBytes {
  const { size } = statSync(path);
  if (loss.random.next() < 0.5) return { ...cutAt(path, from, size), tear: 'torn' };
  spoil(path, from, size, loss);
  return { tear: 'torn', bytes: size - from };
}

/** Some of the sectors or pages that were not covered did not reach the disk. */
function punch(path: string, step: number, loss: Loss): LostBytes {
  const { covered, random } = loss;
  const { size } = statSync(path);
  const share = random.next();
  let bytes = 0;
  for (let from = covered; from < size;) {
    // A covered byte stays: a sector is written whole or not at all, and it was in the old one too.
    const to = Math.min(size, (Math.floor(from / step) + 1) * step);
    if (random.next() < share) {
      spoil(path, from, to, loss);
      bytes += to - from;
    }
    from = to;
  }
  return { tear: 'holes', bytes };
}

/** Zeros, rubbish, or what stood there before as a part of another file. */
function spoil(path: string, from: number, to: number, { others, random }: Loss): void {
  const bytes = Buffer.alloc(to - from);
  const kind = random.next();
  if (kind > 0.7) {
    const salt = Buffer.from(random.hex(64), 'hex');
    for (let at = 0; at < bytes.length; at++) bytes[at] = (salt[at % 64] ?? 0) ^ (at >>> 6);
  } else if (kind > 0.45) {
    // Not of this one: LevelDB ends the process when a write-ahead file holds a record twice.
    const other = others[Math.floor(random.next() * others.length)] ?? path;
    if (other !== path) readOf(other, bytes, Math.floor((random.next() * from) / 512) * 512);
  }
  const file = openSync(path, 'r+');
  try {
    writeSync(file, bytes, 0, bytes.length, from);
  } finally {
    closeSync(file);
  }
}

function readOf(path: string, bytes: Buffer, from: number): void {
  const file = openSync(path, 'r');
  try {
    readSync(file, bytes, 0, bytes.length, from);
  } finally {
    closeSync(file);
  }
}
