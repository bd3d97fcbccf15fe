import type { StreamId } from '../../record.ts';
import type { LargePatience } from '../large-patience.ts';
import type { MirrorStream, Rejection } from '../upstream.ts';
import type { Destinations } from './destinations.ts';
import type { PieceEncoder } from './encode.ts';
import type { FenceJudge } from './fencing.ts';
import type { Initialiser } from './initialise.ts';
import type { Journal } from './journal.ts';
import type { Links } from './links.ts';
import type { KafkaUpstreamOptions } from './options.ts';
import type { RefusalContext } from './refusal.ts';
import type { TransactionTimeout } from './transaction-timeout.ts';

/** What an exactly-once session is made of. */
export interface DeliveryParts {
  readonly options: KafkaUpstreamOptions;
  readonly clusterId: string;
  readonly links: Links;
  readonly destinations: Destinations;
  readonly streams: ReadonlyMap<StreamId, MirrorStream>;
  readonly encoder: PieceEncoder;
  readonly journal: Journal;
  readonly judge: FenceJudge;
  readonly initialiser: Initialiser;
  readonly refusals: RefusalContext;
  readonly transactionTimeoutMs: number;
  /** Told what takes longer than that, and what does not. */
  readonly timeout: Pick<TransactionTimeout, 'noteTooShort' | 'noteCommitted'>;
  readonly requestTimeoutMs: number;
  readonly patience: LargePatience;
  readonly quarantine: (rejected: readonly Rejection[]) => Promise<void>;
}
