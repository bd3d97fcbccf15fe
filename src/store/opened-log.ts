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
  /** Ranges that are missing in the part that was read. */
  readonly holes: readonly Hole[];
}
