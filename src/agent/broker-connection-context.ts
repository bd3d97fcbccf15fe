import type { ClientLimits } from '../client-limits.ts';
import type { Access } from './acl.ts';
import type { Answering } from './broker-answering.ts';
import type { HeldAcks } from './broker-ack-line.ts';
import type { AckRound } from './broker-acks.ts';
import type { AedesClient } from './broker-aedes.ts';
import type { HeldParts } from './broker-held-parts.ts';
import type { Lingering } from './broker-lingering.ts';
import type { LiveDelivery } from './broker-live.ts';
import type { PublishDecoder } from './broker-publish.ts';
import type { Qos2Sessions } from './broker-qos2-sessions.ts';
import type { Rates } from './broker-rates.ts';
import type { Throttle } from './broker-throttle.ts';
import type { Violations } from './broker-violations.ts';
import type { Traffic } from './broker-traffic.ts';
import type { OwnNumbers } from './device-numbers.ts';
import type { IngestGate } from './ingest.ts';

/** What all connections of one broker share. */
export interface ConnectionContext {
  readonly gate: IngestGate;
  readonly live: LiveDelivery;
  readonly qos2: Qos2Sessions;
  readonly throttle: Throttle;
  readonly acks: AckRound;
  readonly heldAcks: HeldAcks;
  readonly answering: Answering;
  readonly lingering: Lingering;
  readonly decoder: PublishDecoder;
  readonly violations: Violations;
  /** undefined: numbers of devices say nothing here. Once it has logged in. */
  readonly numbersOf: (client: AedesClient) => OwnNumbers | undefined;
  /** A message of QoS 0 is settled: nobody waits for an answer. */
  readonly doneUnasked: (error: Error | null) => void;
  /** What the client may do; undefined: everything. Once it has logged in. */
  readonly accessOf: (client: object) => Access | undefined;
  /** Counts and tells a publish that is refused. */
  readonly refused: (client: AedesClient, topic: string) => void;
  readonly maxPacketBytes: number;
  readonly limits: ClientLimits;
  readonly rates: Rates;
  readonly heldParts: HeldParts;
  readonly counters: ConnectionCounters;
  readonly traffic: Traffic;
  /** Of wills in the store, also of who is away. */
  readonly keptWillBytes: () => number;
}

interface ConnectionCounters {
  /** Bytes of wills, of all connections together. */
  willBytes: number;
}
