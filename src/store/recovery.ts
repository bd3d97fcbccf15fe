import { must } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import { unpackCheckpoint, type Checkpoint } from './checkpoint.ts';
import { readHead, type CommitHead } from './commit-head.ts';
import { entryKey, parseKey } from './commit-key.ts';
import { isDamage, isUnsteady } from './damage.ts';
import type { Database } from './database.ts';
import { readFrame } from './frame.ts';

/** A commit as opening sees it: its head, and what it takes in the log. */
export interface TailCommit {
  readonly commit: number;
  /** undefined: the entry is there and its checksum is wrong. */
  readonly head: CommitHead | undefined;
  readonly storedBytes: number;
}

export interface Tail {
  /** undefined when the segment holds no readable checkpoint. */
  readonly checkpoint: Checkpoint | undefined;
  /** Commits after the checkpoint (or all there are), ascending; numbers may have holes. */
  readonly commits: TailCommit[];
  /** Entries read to find this: to the last checkpoint that can be read, or all of the segment. */
  readonly entriesRead: number;
}

/** Reads a segment backwards from its end to its last checkpoint. */
export async function readTail(database: Database): Promise<Tail> {
  const entries = database.entries({ reverse: true });
  const commits: TailCommit[] = [];
  let entriesRead = 0;
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) break;
      for (const [key, value] of batch) {
        entriesRead++;
        const parsed = parseKey(key);
        if (parsed === undefined) continue;
        const frame = readFrame(key, value);
        if (parsed.kind === 'commit') {
          const head = frame === undefined ? undefined : readHead(frame.head);
          commits.push({ commit: parsed.commit, head, storedBytes: value.length });
        } else if (frame !== undefined) {
          const checkpoint = unpackCheckpoint(frame.head);
          if (checkpoint === undefined || checkpoint.commit !== parsed.commit) continue;
          return { checkpoint, commits: commits.toReversed(), entriesRead };
        }
      }
    }
  } finally {
    await entries.close();
  }
  return { checkpoint: undefined, commits: commits.toReversed(), entriesRead };
}

/**
 * LevelDB passes over a block that the disk does not read, and tells at the end of a scan only: so it is
 * asked for what the tail does not hold, in so many places. Rejects when the disk does not answer.
 */
export async function requireRead(
  database: Database,
  { checkpoint, commits }: Tail,
): Promise<void> {
  const last = commits.at(-1)?.commit ?? checkpoint?.commit ?? 0;
  const after = database.entries({ gte: entryKey(last + 1, 'commit') });
  try {
    const holes = damageIn(checkpoint?.commit ?? last, commits);
    for (const { fromCommit } of holes.slice(0, LIMITS.tailHolesRead)) {
      await database.get(entryKey(fromCommit, 'commit'));
    }
    while ((await after.next()).length > 0);
  } catch (error) {
    if (isUnsteady(error)) throw error;
  } finally {
    await after.close();
  }
}

/** The next offset of each stream after the segment, as its last checkpoint and commits tell it. */
export async function readEnd(database: Database): Promise<readonly number[] | undefined> {
  const { checkpoint, commits } = await readTail(database);
  if (checkpoint === undefined) return undefined;
  const next = [...checkpoint.next];
  for (const { head } of commits) {
    for (const { stream, baseOffset, count } of head?.runs ?? []) {
      next[stream] = Math.max(next[stream] ?? 0, baseOffset + count);
    }
  }
  return next;
}

/** The checkpoint after `commit`, or undefined when it is missing or damaged. */
export async function readCheckpoint(
  database: Database,
  commit: number,
): Promise<Checkpoint | undefined> {
  const key = entryKey(commit, 'checkpoint');
  const value = await readable(database, key);
  const frame = value === undefined ? undefined : readFrame(key, value);
  return frame === undefined ? undefined : unpackCheckpoint(frame.head);
}

/** undefined: the engine does not find it, or can't read the place. */
async function readable(database: Database, key: Uint8Array): Promise<Uint8Array | undefined> {
  try {
    return await database.get(key);
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/** Every producer known at `last`: its own and those of the checkpoints it points back to. */
export async function readProducers(
  database: Database,
  last: Checkpoint,
): Promise<readonly (readonly [string, number])[]> {
  const newestFirst = [last.producers];
  let before = last.producersBefore;
  while (before >= 0) {
    const checkpoint = await readCheckpoint(database, before);
    if (checkpoint === undefined) break;
    newestFirst.push(checkpoint.producers);
    before = checkpoint.producersBefore;
  }
  return newestFirst.toReversed().flat();
}

/** A hole in the commit numbers, or a commit that can't be read. */
export interface Damage {
  readonly fromCommit: number;
  readonly toCommit: number;
}

/** Where the numbers after `last` are not contiguous or not readable. */
export function damageIn(last: number, commits: readonly TailCommit[]): Damage[] {
  const damage: Damage[] = [];
  let expected = last + 1;
  for (const { commit, head } of commits) {
    if (commit > expected) damage.push({ fromCommit: expected, toCommit: commit });
    if (head === undefined) damage.push({ fromCommit: commit, toCommit: commit + 1 });
    expected = commit + 1;
  }
  return damage;
}

export function lastOf(checkpoint: Checkpoint, commits: readonly TailCommit[]): number {
  return commits.length === 0
    ? checkpoint.commit
    : must(commits.at(-1), 'the list is not empty').commit;
}
