import { assert } from '../assert.ts';

/**
 * Keys of a segment: commit number, big-endian, then the kind, so that every new key sorts last.
 * LevelDB then moves its tables by name instead of rewriting them (docs/leveldb.md).
 */
export type EntryKind = 'commit' | 'checkpoint';

export const KEY_BYTES = 9;
const COMMIT = 0;
const CHECKPOINT = 1;

export function writeKey(target: Buffer, commit: number, kind: EntryKind): Buffer {
  assert(Number.isSafeInteger(commit) && commit >= 0, 'a commit number is a safe integer');
  target.writeUInt32BE(Math.floor(commit / 0x1_0000_0000), 0);
  target.writeUInt32BE(commit % 0x1_0000_0000, 4);
  target[8] = kind === 'commit' ? COMMIT : CHECKPOINT;
  return target;
}

export function entryKey(commit: number, kind: EntryKind): Buffer {
  return writeKey(Buffer.allocUnsafe(KEY_BYTES), commit, kind);
}

export interface ParsedKey {
  readonly commit: number;
  readonly kind: EntryKind;
}

/** undefined when the bytes are no key of ours: damage. */
export function parseKey(key: Uint8Array): ParsedKey | undefined {
  const kind = key[8];
  if (key.length !== KEY_BYTES || (kind !== COMMIT && kind !== CHECKPOINT)) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, KEY_BYTES);
  const commit = view.getUint32(0) * 0x1_0000_0000 + view.getUint32(4);
  if (!Number.isSafeInteger(commit)) return undefined;
  return { commit, kind: kind === COMMIT ? 'commit' : 'checkpoint' };
}
