import { unpackCheckpoint } from './checkpoint.ts';
import { readHead } from './commit-head.ts';
import { parseKey } from './commit-key.ts';
import type { Database } from './database.ts';
import { readFrame } from './frame.ts';
import type { Hole, LogState } from './log-state.ts';
import type { TailCommit } from './recovery.ts';

/** What surely stood in the log before: up to this commit, with these next offsets by stream. */
export interface KnownEnd {
  readonly commit: number;
  readonly next: ArrayLike<number>;
}

export interface WrittenTail {
  readonly from: KnownEnd;
  /** Ascending; numbers may have holes. */
  readonly commits: readonly TailCommit[];
}

/**
 * Everything that was written after `opened`, the end of the log when the segment was last opened:
 * what lay before it was in tables by then. Of more than `maxBytes` it reads only the end, back to a
 * checkpoint: that much fits no write-ahead file.
 */
export async function readWritten(
  database: Database,
  opened: KnownEnd,
  maxBytes: number,
): Promise<WrittenTail> {
  const newestFirst: TailCommit[] = [];
  const tail = (from: KnownEnd): WrittenTail => ({ from, commits: newestFirst.toReversed() });
  const entries = database.entries({ reverse: true });
  let bytes = 0;
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) return tail(opened);
      for (const [key, value] of batch) {
        const parsed = parseKey(key);
        if (parsed === undefined) continue;
        if (parsed.commit <= opened.commit && parsed.kind === 'commit') return tail(opened);
        const frame = readFrame(key, value);
        if (parsed.kind === 'commit') {
          const head = frame === undefined ? undefined : readHead(frame.head);
          newestFirst.push({ commit: parsed.commit, head, storedBytes: value.length });
          bytes += value.length;
        } else if (bytes >= maxBytes && frame !== undefined) {
          const checkpoint = unpackCheckpoint(frame.head);
          if (checkpoint !== undefined) return tail(checkpoint);
        }
      }
    }
  } finally {
    await entries.close();
  }
}

/** The offsets up to `committed` (by stream) that no readable commit up to `lastCommit` holds. */
export function lostFrom(
  { from, commits }: WrittenTail,
  lastCommit: number,
  committed: ArrayLike<number>,
): Hole[] {
  const lost: Hole[] = [];
  const next = new Map<number, number>();
  const meet = (stream: number, offset: number): void => {
    const fromOffset = next.get(stream) ?? from.next[stream] ?? 0;
    if (offset > fromOffset) lost.push({ stream, fromOffset, toOffset: offset });
  };
  for (const { commit, head } of commits) {
    if (head === undefined || commit > lastCommit) continue;
    for (const { stream, baseOffset, count } of head.runs) {
      meet(stream, baseOffset);
      next.set(stream, baseOffset + count);
    }
  }
  for (let stream = 0; stream < committed.length; stream++) meet(stream, committed[stream] ?? 0);
  return lost;
}

/** Commits whose write was reported as failed and that are there nevertheless count. Gives their bytes. */
export function takeIn({ commits }: WrittenTail, state: LogState): number {
  let bytes = 0;
  for (const { commit, head, storedBytes } of commits) {
    if (commit !== state.lastCommit + 1 || head === undefined) continue;
    state.applyHead(head, storedBytes);
    state.lastCommit = commit;
    bytes += storedBytes;
  }
  return bytes;
}
