import { readHead, type CommitHead } from './commit-head.ts';
import { parseKey } from './commit-key.ts';
import type { Write } from './database.ts';
import { readFrame } from './frame.ts';

/** What one batch in a segment's write-ahead file is: a commit, perhaps with a checkpoint before it. */
export interface WalBatch extends Numbered {
  readonly commit: number;
  /** undefined: it can't be read, though its checksums are right. */
  readonly head: CommitHead | undefined;
  readonly hasCheckpoint: boolean;
}

/** LevelDB numbers all entries of a database in the order of their writes, without gaps. */
export interface Numbered {
  readonly sequence: number;
  /** Of the batch after it. */
  readonly next: number;
}

const COUNT_AT = 8;
const SEQUENCE_AND_COUNT_BYTES = 12;
const DELETION = 0;
const PUT = 1;

/**
 * Reads LevelDB's batch: sequence u64, count u32, then entries of kind, key and value, both with
 * their lengths as varints. undefined: it is none of ours.
 */
export function readBatch(bytes: Buffer): WalBatch | undefined {
  let commit: number | undefined;
  let head: CommitHead | undefined;
  let hasCheckpoint = false;
  for (const { key, value } of writesIn(bytes) ?? []) {
    const parsed = parseKey(key);
    // A segment's entries are only ever put.
    const frame = value === undefined ? undefined : readFrame(key, value);
    if (parsed === undefined || frame === undefined) return undefined;
    if (parsed.kind === 'commit') {
      ({ commit } = parsed);
      head = readHead(frame.head);
    } else {
      hasCheckpoint = true;
    }
  }
  return commit === undefined ? undefined : { ...numbersOf(bytes), commit, head, hasCheckpoint };
}

/** The entries of a batch; undefined: it is none. */
export function writesIn(bytes: Buffer): Write[] | undefined {
  try {
    return [...entriesIn(bytes)].map(([key, value]) => ({ key, value }));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Of a batch; zeros where it is none. */
export function numbersOf(bytes: Buffer): Numbered {
  if (bytes.length < SEQUENCE_AND_COUNT_BYTES) return { sequence: 0, next: 0 };
  const sequence = Number(bytes.readBigUInt64LE(0));
  return { sequence, next: sequence + bytes.readUInt32LE(COUNT_AT) };
}

/** A deletion has no value. Throws RangeError. */
function* entriesIn(bytes: Buffer): Generator<readonly [key: Buffer, value: Buffer | undefined]> {
  let at = SEQUENCE_AND_COUNT_BYTES;
  const piece = (): Buffer => {
    let length = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes.readUInt8(at++);
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    if (at + length > bytes.length) throw new RangeError('an entry ends early');
    const found = bytes.subarray(at, at + length);
    at += length;
    return found;
  };
  while (at < bytes.length) {
    const kind = bytes.readUInt8(at++);
    if (kind !== PUT && kind !== DELETION) throw new RangeError('no entry');
    yield [piece(), kind === PUT ? piece() : undefined];
  }
}
