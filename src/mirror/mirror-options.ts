import type { Random } from '../random.ts';
import type {
  KeyValue,
  LogReader,
  LogWriter,
  LossLedger,
  PositionStore,
  TopicInfo,
} from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { BackoffLimits } from './backoff.ts';
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
  readonly upstream: Upstream;
  /** Names, or patterns with `*`; see selection.ts. */
  readonly topics: readonly string[];
  /** For streams without a position when the mirror starts; those that appear later begin at 0. */
  readonly startAt?: 'beginning' | 'end';
  readonly batching?: Partial<Batching>;
  readonly window?: number;
  readonly sendMs?: number;
  readonly backoff?: BackoffLimits;
  readonly stoppedTopicRetryMs?: number;
  readonly drainMs?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}
