import type { ConnectAttempts } from './connect-attempts.ts';
import type { LaneBounds } from '../mirror-limits.ts';
import type { Random } from '../random.ts';
import type {
  KeyValue,
  KeyValueSpace,
  LogReader,
  LogWriter,
  LossLedger,
  PositionStore,
  TopicInfo,
} from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { BackoffLimits } from './backoff.ts';
import type { NetworkWatch } from './network-watch.ts';
import type { LinkPolicy } from './policy/link-policy.ts';
import type { TopicPattern } from './selection.ts';
import type { Batching, Upstream } from './upstream.ts';

export interface MirrorOptions {
  readonly name: string;
  readonly gateway: string;
  readonly incarnation: string;
  readonly reader: LogReader;
  /** A pinning one: retention keeps what this mirror has not had, as long as the cap allows. */
  readonly positions: PositionStore;
  readonly ledger: LossLedger;
  readonly quarantine: { readonly writer: LogWriter; readonly topic: TopicInfo };
  /** This mirror's own space: what a person decided, across restarts. */
  readonly decisions: KeyValue;
  /** This mirror's own space: which records went ahead of those that sampling left for later. */
  readonly sampled: KeyValueSpace;
  readonly upstream: Upstream;
  /** The first that matches a topic says how it is treated; see selection.ts. */
  readonly topics: readonly TopicPattern[];
  /** For streams without a position when the mirror starts; those that appear later begin at 0. */
  readonly startAt?: 'beginning' | 'end';
  /** What the link may cost. The upstream MUST have been given its `wire`. */
  readonly policy?: LinkPolicy | undefined;
  readonly batching?: Partial<Batching>;
  readonly window?: number;
  /** See BatchSizeOptions. */
  readonly underWayBytes?: number | undefined;
  readonly laneBounds?: LaneBounds;
  /** Wall clock in ms by which records expire; undefined: none does at present. */
  readonly expiryNowMs?: () => number | undefined;
  readonly sendMs?: number;
  readonly backoff?: BackoffLimits;
  readonly stoppedTopicRetryMs?: number;
  readonly drainMs?: number;
  /** Ends waits when the network comes back. Absent: they are waited out. */
  readonly network?: NetworkWatch;
  /** Those of the upstream: what came to nothing before the network changed says nothing of now. */
  readonly attempts?: ConnectAttempts | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}
