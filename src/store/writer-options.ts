import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { CommitLog } from './commit-log.ts';
import type { DiskGate } from './disk-gate.ts';
import type { LogState } from './log-state.ts';

export interface WriterOptions {
  readonly log: CommitLog;
  readonly state: LogState;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long the first append of a commit waits for others; asked before every wait. */
  readonly lingerMs: () => number;
  readonly readOnly: boolean;
  readonly gate: DiskGate;
  /** A record of class `none`, answered already, was in memory only and is lost. */
  readonly onForgotten: (stream: number, bytes: number) => void;
  /** The durable end moved. */
  readonly onDurable: () => void;
}

/**
 * ready → (failed write) recovering → ready, or → broken → (retry) recovering …; closing → closed.
 * Appends are taken in `ready` only.
 */
export type WriterPhase = 'ready' | 'recovering' | 'broken' | 'closing' | 'closed';
