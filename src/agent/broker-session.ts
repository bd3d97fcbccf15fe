import type { Access } from './acl.ts';
import { OutgoingQueue, type QueueContext } from './broker-session-queue.ts';
import type { Qos } from './publication.ts';

/** What a subscription asks for; the names are MQTT's (MQTT 5, section 3.8.3.1). */
export interface SubscriptionTerms {
  readonly qos: Qos;
  readonly rh?: number | undefined;
  readonly rap?: boolean | undefined;
  readonly nl?: boolean | undefined;
  readonly subscriptionIdentifier?: number;
}

/** What is written of a session itself. */
export interface SessionRecord {
  readonly number: string;
  /** Seconds that it outlives its connection; null: for ever. */
  readonly expiry: number | null;
  /** Whose it is; absent: nobody's with a name. */
  readonly user?: string;
  /** Which that user had by its token when it logged in last. */
  readonly roles?: readonly string[];
  /** Wall clock in ms when its connection ended; absent while there is one. */
  readonly left?: number;
}

/** A session that outlives its connection. */
export class Session {
  readonly clientId: string;
  /** Never given again, so that nothing left of another session is taken for this one's. */
  readonly number: string;
  readonly subscriptions: Map<string, SubscriptionTerms> = new Map();
  readonly queue: OutgoingQueue;
  /** Of its handshake slots: what the journal's space knew at the start (broker-qos2-slots.ts). */
  readonly released: Map<number, number> = new Map();
  readonly delivered: Map<number, number> = new Map();
  expiry: number | null = null;
  left: number | undefined;
  /** Connections that have it, from CONNECT on. */
  holders = 0;
  /** The user whose it is; see broker-client-ids.ts. */
  owner: string | undefined;
  /** As its token said it when it logged in last. */
  roles: readonly string[] = [];
  /** Of who logged in last with that client id; undefined: everything. */
  access: Access | undefined;

  constructor(clientId: string, sessionNumber: string, context: QueueContext) {
    this.clientId = clientId;
    this.number = sessionNumber;
    this.queue = new OutgoingQueue(context, sessionNumber);
  }

  get key(): string {
    return `session/${this.clientId}`;
  }

  record(): Buffer {
    const { number, expiry, left, owner: user, roles } = this;
    const record: SessionRecord = {
      number,
      expiry,
      ...(left === undefined ? {} : { left }),
      ...(user === undefined ? {} : { user }),
      ...(roles.length === 0 ? {} : { roles }),
    };
    return Buffer.from(JSON.stringify(record));
  }

  subscriptionKey(filter: string): string {
    return `sub/${this.number}/${filter}`;
  }
}

export function sameTerms(one: SubscriptionTerms | undefined, other: SubscriptionTerms): boolean {
  return (
    one !== undefined &&
    one.qos === other.qos &&
    one.rh === other.rh &&
    one.rap === other.rap &&
    one.nl === other.nl &&
    one.subscriptionIdentifier === other.subscriptionIdentifier
  );
}
