import type { UnreadableSegment } from './log-end.ts';
import type { Hole } from './log-state.ts';

export interface LogIdentity {
  readonly incarnation: string;
  readonly createdMs: number;
}

/** What opening found. */
export interface OpenedLog {
  /** undefined: there is no log. */
  readonly identity: LogIdentity | undefined;
  readonly unreadable: readonly UnreadableSegment[];
  /** Ranges that are missing in the part that was read, and what was left out for others. */
  readonly holes: readonly Hole[];
  /** The same before what is remembered: exact, and also what was removed on purpose. */
  readonly missing: readonly Hole[];
  /** The last commit that stands in a segment; 0: none does. */
  readonly lastCommit: number;
}
