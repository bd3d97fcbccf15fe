import type { ClockStatus } from '../clock-status.ts';
import { GatelogError, type ErrorCode } from '../errors.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import type { Durability } from '../record.ts';
import type { OnFull, StoreCounters } from '../store/log.ts';
import type { WearStatus } from './wear-status.ts';

/**
 * What an agent tells of itself: GET /status on its control socket, `gatelog status --json`, and
 * the live view. Field names are API. Times are ISO 8601 in UTC, durations ms, sizes bytes.
 */
export interface AgentStatus {
  readonly version: string;
  readonly gateway: string;
  /** Random id of the data folder. */
  readonly incarnation: string;
  /** Why it serves without a log, so that nothing durable is acknowledged; null: it has one. */
  readonly degraded: string | null;
  /** The same for programs. */
  readonly degradedCode: ErrorCode | null;
  readonly data: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly uptimeMs: number;
  readonly memory: MemoryStatus;
  /** Whether the machine's clock is believed; null while there is no log. */
  readonly clock: ClockStatus | null;
  /** Addresses really listened on, as `mqtt://127.0.0.1:1883`. */
  readonly listeners: readonly string[];
  /** Since start; null until the broker listens. */
  readonly ingest: IngestStatus | null;
  /** null while there is no log. */
  readonly store: StoreCounters | null;
  /** null: without a log nothing is written. */
  readonly wear: WearStatus | null;
  readonly topics: readonly TopicStatus[];
  readonly mirrors: readonly MirrorStatus[];
}

/** An agent that has its log, so that it knows of everything that is stored. */
export type WholeStatus = AgentStatus & { readonly store: StoreCounters };

/** Throws what keeps the agent from its log: without one it knows of no topic, mirror or loss. */
export function wholeStatus(status: AgentStatus): WholeStatus {
  const { store, degraded, degradedCode } = status;
  if (store !== null && degraded === null) return { ...status, store };
  throw withoutLog(degradedCode ?? 'STORE_UNAVAILABLE', degraded ?? 'it is not open');
}

export function withoutLog(code: ErrorCode, reason: string): GatelogError {
  return new GatelogError(
    code,
    `the agent serves without its log and can't tell what is stored or lost: ${reason}`,
  );
}

/** Counters of the broker and of the gate behind it. */
export interface IngestStatus {
  /** PUBLISH packets and wills that reached the gate, and the bytes of their payloads. */
  readonly received: number;
  readonly receivedBytes: number;
  /** Records given to the log, by durability. */
  readonly appended: Readonly<Record<Durability, number>>;
  /** Delivered live only: no route. */
  readonly unrouted: number;
  /** The log could not take them; never acknowledged. */
  readonly failed: number;
  /** QoS 0 messages that the log could not take: counted in the loss ledger. */
  readonly dropped: number;
  readonly connections: number;
  readonly connectionsTotal: number;
  readonly connectionsRefused: number;
  /** Publishes to `$SYS/`. */
  readonly refused: number;
  /** Connections ended because the peer broke the protocol or a limit. */
  readonly violations: number;
}

export interface MemoryStatus {
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
}

export interface TopicStatus {
  readonly name: string;
  readonly durability: Durability;
  readonly retentionMs: number | null;
  readonly retentionBytes: number | null;
  readonly onFull: OnFull;
  readonly priority: number;
  /** Bytes on disk, as retention counts them. */
  readonly bytes: number;
  /** Records that can be read: the sum over the partitions. */
  readonly records: number;
  readonly partitions: readonly PartitionStatus[];
}

export interface PartitionStatus {
  readonly partition: number;
  /** First offset that can still be read. */
  readonly startOffset: number;
  /** One past the last durable record. */
  readonly endOffset: number;
}
