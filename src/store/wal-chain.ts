import type { Durability } from '../record.ts';
import type { CommitHead, StoredTopic } from './commit-head.ts';
import type { LogKnowledge } from './log-knowledge.ts';
import { readBatch, type WalBatch } from './wal-batch.ts';
import type { Wal } from './wal-files.ts';
import type { WalRecord } from './wal.ts';

/** A record of a segment's write-ahead files, and the commit that it is. */
export interface Link {
  readonly wal: Wal;
  readonly record: WalRecord;
  readonly batch: WalBatch;
  /** The first commit that is missing before it; undefined: none is. */
  readonly missing: number | undefined;
  /** It was made durable before anything came after it. */
  readonly isSynced: boolean;
}

export interface Chain {
  /** Commits of this segment, each in its place: ascending. */
  readonly links: readonly Link[];
  /** Files with other records in them that LevelDB would take in. */
  readonly strange: ReadonlySet<Wal>;
}

/**
 * What of the files is the segment's that begins with commit `first`. LevelDB believes any record with
 * a right checksum, also what another file left where this one was torn. Such a one has another place
 * in the two numberings: of commits, and of LevelDB's entries, of which each commit takes one or two.
 */
export function chainIn(
  wals: readonly Wal[],
  first: number,
  topics: readonly StoredTopic[],
): Chain {
  const classes = new Classes(topics);
  const links: Link[] = [];
  const strange = new Set<Wal>();
  let isDamaged = false;
  for (const wal of wals) {
    const [firstBad] = wal.bad;
    for (const record of wal.records) {
      const batch = readBatch(record.bytes);
      const last = links.at(-1)?.batch;
      if (batch === undefined || !goesOn(last, batch, first)) {
        strange.add(wal);
        continue;
      }
      const isBehind = isDamaged || (firstBad !== undefined && firstBad.from < record.from);
      const missing = missingBefore(batch, last, isBehind);
      links.push({ wal, record, batch, missing, isSynced: classes.syncs(batch) });
    }
    isDamaged ||= firstBad !== undefined;
  }
  return { links, strange };
}

function goesOn(last: WalBatch | undefined, batch: WalBatch, first: number): boolean {
  if (last === undefined) return batch.commit >= first;
  const commits = batch.commit - last.commit - 1;
  const entries = batch.sequence - last.next;
  return commits >= 0 && entries >= commits && entries <= 2 * commits;
}

function missingBefore(
  { commit }: WalBatch,
  last: WalBatch | undefined,
  isBehindDamage: boolean,
): number | undefined {
  if (last !== undefined) return commit > last.commit + 1 ? last.commit + 1 : undefined;
  // What came before it stands in tables: nobody knows how many are missing.
  return isBehindDamage ? commit - 1 : undefined;
}

/**
 * The last commit that was surely synced: as it is known, or as what came after it proves. Of a log
 * without topics of class os every one but the last was.
 */
export function syncedIn({ links }: Chain, { synced, topics }: LogKnowledge): number {
  const classes = new Classes(topics);
  for (const { batch } of links) classes.learn(batch.head);
  const before = links.slice(0, -1);
  const proven = before.findLast(({ isSynced }) => isSynced)?.batch.commit ?? 0;
  const all = classes.syncAll ? (links.at(-1)?.batch.commit ?? 0) - 1 : 0;
  return Math.max(synced, proven, all);
}

/** By stream, as they are when a commit is written: it tells of topics defined or changed itself. */
class Classes {
  readonly #byStream = new Map<number, Durability>();

  constructor(topics: readonly StoredTopic[]) {
    this.#add(topics);
  }

  /** Something is known, and nothing of class os. */
  get syncAll(): boolean {
    return this.#byStream.size > 0 && ![...this.#byStream.values()].includes('os');
  }

  learn(head: CommitHead | undefined): void {
    this.#add(head?.topics ?? []);
  }

  /** Class fsync is waited for; and one of nothing but class none is synced for its readers. */
  syncs({ head, hasCheckpoint }: WalBatch): boolean {
    this.learn(head);
    if (hasCheckpoint) return true;
    if (head === undefined) return false;
    const classes = head.runs.map(({ stream }) => this.#byStream.get(stream));
    return classes.includes('fsync') || classes.every((one) => one === 'none');
  }

  #add(topics: readonly StoredTopic[]): void {
    for (const { options, streams } of topics) {
      for (const stream of streams) this.#byStream.set(stream, options.durability);
    }
  }
}
