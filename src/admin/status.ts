import type { ClockStatus } from '../clock-status.ts';
import { GatelogError, type ErrorCode } from '../errors.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import type { Durability } from '../record.ts';
import type { OnFull, StoreCounters } from '../store/log.ts';
import type { AccessFileStatus } from './access-file-status.ts';
import type { CertificateStatus } from './certificate-status.ts';
import type { ReloadStatus } from './reload-status.ts';
import type { WearStatus } from './wear-status.ts';

/**
 * What an agent tells of itself: GET /status on its control socket, `gatelog status --json`, and
 * the live view. Field names are API. Times are ISO 8601 in UTC, durations ms, sizes bytes.
 */
export interface AgentStatus {
  readonly version: string;
  readonly gateway: string;
  /** Nobody chose that id: it is the host's name when the data folder was made. */
  readonly gatewayAssumed: boolean;
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
  /** The agent's HTTP side: status page, API, metrics. */
  readonly http: HttpStatus;
  /** Of the listeners with TLS, and of the HTTP side's. */
  readonly certificates: readonly CertificateStatus[];
  /** Files of users and rules, and keys of tokens; those that are named. */
  readonly accessFiles: readonly AccessFileStatus[];
  /** Since start; null until the broker listens. */
  readonly ingest: IngestStatus | null;
  /** null while there is no log. */
  readonly store: StoreCounters | null;
  /** null: without a log nothing is written. */
  readonly wear: WearStatus | null;
  readonly topics: readonly TopicStatus[];
  readonly mirrors: readonly MirrorStatus[];
  /** When the configuration was last read again; null: not since start. */
  readonly reload: ReloadStatus | null;
}

/** Empty and null: it is switched off. */
export interface HttpStatus {
  /** Addresses really listened on, as `http://127.0.0.1:9680`. */
  readonly listeners: readonly string[];
  /** Why an address is not listened on, which is tried again; null: all are. */
  readonly trouble: string | null;
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
  /** Records of this very log that a mirror brought back: delivered live only. */
  readonly returned: number;
  /** The log could not take them; never acknowledged. */
  readonly failed: number;
  /** QoS 0 messages that the log could not take: counted in the loss ledger. */
  readonly dropped: number;
  readonly connections: number;
  readonly connectionsTotal: number;
  readonly connectionsRefused: number;
  /** Publishes to `$SYS/`, and what `mqtt.acl` does not allow. */
  readonly refused: number;
  /** Connections ended because the peer broke the protocol or a limit. */
  readonly violations: number;
  /** Of the refused connections: for their credentials, or what goes with them. */
  readonly loginsRefused: number;
  /** Messages not retained, not queued for a session or given up there, at their bounds. */
  readonly notKept: number;
  /** Of those: for which there was no room among the retained ones. */
  readonly notRetained: number;
  /** Sessions that outlive their connections, and the bytes that are queued for them. */
  readonly sessions: number;
  readonly queuedBytes: number;
  /** Bytes of packets that have not come whole yet. */
  readonly heldBytes: number;
  /** Numbers that devices give their messages; null: they say nothing here. */
  readonly dedup: DedupStatus | null;
}

/** What `mqtt.dedup` did since start. */
export interface DedupStatus {
  /** Producers that are remembered, of so many at most, and those given up for others. */
  readonly remembered: number;
  readonly atMost: number;
  readonly forgotten: number;
  /** Messages that were taken before: acknowledged, and not stored again. */
  readonly repeats: number;
  /** Times that numbers were left out, and messages that came late into such a gap. */
  readonly gaps: number;
  readonly late: number;
  /** Messages whose number could not be read: taken as if they had none. */
  readonly unreadable: number;
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
