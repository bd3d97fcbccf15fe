import type { StoredTopic } from './commit-head.ts';

/** What is known of the commits in write-ahead files, for who meets these before LevelDB takes them in. */
export interface LogKnowledge {
  /** The last one that is known to have been synced; 0: none is. */
  readonly synced: number;
  /** By their classes: a commit that is synced before anything comes after it proves those before it. */
  readonly topics: readonly StoredTopic[];
}

/** Asked whenever it is needed: a segment may be opened at any time of a process, and both go on. */
export type KnowsLog = () => LogKnowledge;

export const NOTHING_KNOWN: KnowsLog = () => ({ synced: 0, topics: [] });
