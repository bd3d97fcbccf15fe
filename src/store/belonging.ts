import { GatelogError } from '../errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { parseKey } from './commit-key.ts';
import { isDamage } from './damage.ts';
import type { Database } from './database.ts';
import { readCheckpoint, readTail } from './recovery.ts';

/** What a segment's entries must be: of this log, and of the place that its name says. */
export interface Belonging {
  /** undefined: any. */
  readonly incarnation: string | undefined;
  /** First commit of the segment after it; undefined: there is none. */
  readonly before: number | undefined;
}

/**
 * Throws STORE_CORRUPT when the segment is another log's, or another place's of this log: a folder
 * that was swapped in, whose checksums are all right. One entry is read, if that tells all.
 */
export async function requireBelonging(
  first: number,
  database: Database,
  { incarnation, before }: Belonging,
): Promise<void> {
  const beginning = await readCheckpoint(database, first - 1);
  if (beginning !== undefined) {
    requireIncarnation(first, beginning.incarnation, incarnation);
    return;
  }
  const commit = await firstCommit(database);
  if (commit === undefined) return; // Nothing is in it.
  if (commit < first - 1 || (before !== undefined && commit >= before)) {
    throw foreign(first, `it begins with commit ${commit}`);
  }
  const checkpoint = await lastCheckpoint(database);
  if (checkpoint === undefined) return;
  if (checkpoint.commit < first - 1) throw foreign(first, `it holds commit ${checkpoint.commit}`);
  requireIncarnation(first, checkpoint.incarnation, incarnation);
}

/** undefined: there is none, or it can't be read; the rest of the segment may be. */
async function lastCheckpoint(database: Database): Promise<Checkpoint | undefined> {
  try {
    return (await readTail(database)).checkpoint;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

function requireIncarnation(first: number, found: string, wanted: string | undefined): void {
  if (wanted === undefined || found === wanted) return;
  throw foreign(first, `it is of the log ${found}, and this one is ${wanted}`);
}

function foreign(first: number, why: string): GatelogError {
  return new GatelogError(
    'STORE_CORRUPT',
    `the segment that should begin with commit ${first} is not the one that was there: ${why}`,
  );
}

async function firstCommit(database: Database): Promise<number | undefined> {
  const entries = database.entries({ oneByOne: true }); // Damage further on is told later.
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) return undefined;
      for (const [key] of batch) {
        const parsed = parseKey(key);
        if (parsed !== undefined) return parsed.commit;
      }
    }
  } finally {
    await entries.close();
  }
}
