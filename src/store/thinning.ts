import { LIMITS } from '../limits.ts';
import { readHead, type CommitHead } from './commit-head.ts';
import { parseKey } from './commit-key.ts';
import type { Database, Write } from './database.ts';
import { readFrame } from './frame.ts';

/** Records of a stream that stay in a segment: from one offset to before another. */
export interface StayingRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Copies the commits of a segment that hold a record that stays, and all checkpoints, so that whatever
 * was noted of these holds on. Commits are copied whole: their numbers, offsets and checksums are what
 * readers go by. False, and nothing is to be done with the copy: it would take more than `maxBytes`, or
 * something is damaged or missing, and then the segment is left as it is, for who tells the loss.
 */
export async function copyStaying(
  from: Database,
  to: Database,
  staying: ReadonlyMap<number, StayingRange>,
  maxBytes: number,
): Promise<boolean> {
  const found = new Map<number, number>();
  const entries = from.entries({});
  let writes: Write[] = [];
  let pending = 0;
  let bytes = 0;
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) break;
      for (const [key, value] of batch) {
        const parsed = parseKey(key);
        const frame = readFrame(key, value);
        if (parsed === undefined || frame === undefined) return false;
        const head = parsed.kind === 'commit' ? readHead(frame.head) : undefined;
        if (parsed.kind === 'commit' && head === undefined) return false;
        if (head !== undefined && !counts(head, staying, found)) continue;
        bytes += value.length;
        pending += value.length;
        if (bytes > maxBytes) return false;
        writes.push({ key, value });
        if (pending < LIMITS.thinWriteBytes) continue;
        await to.write(writes);
        writes = [];
        pending = 0;
      }
    }
  } finally {
    await entries.close();
  }
  if (writes.length > 0) await to.write(writes);
  return [...staying].every(([stream, range]) => found.get(stream) === range.to - range.from);
}

/** Adds up what of it stays; false when nothing does. */
function counts(
  head: CommitHead,
  staying: ReadonlyMap<number, StayingRange>,
  found: Map<number, number>,
): boolean {
  let stays = false;
  for (const { stream, baseOffset, count } of head.runs) {
    const range = staying.get(stream);
    if (range === undefined) continue;
    const end = Math.min(baseOffset + count, range.to);
    const records = end - Math.max(baseOffset, range.from);
    if (records <= 0) continue;
    stays = true;
    found.set(stream, (found.get(stream) ?? 0) + records);
  }
  return stays;
}

/** What a thinned segment may take at most, of `bytes` that it takes now: it is written twice. */
export function thinBytes(bytes: number): number {
  return bytes / LIMITS.thinDivisor;
}
