import type { Random } from '../random.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { LogReader } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { LogPayloads } from './broker-log-payloads.ts';
import { RetainedMessages } from './broker-retained.ts';
import { QueueBounds } from './broker-session-caps.ts';
import type { SessionCaps } from './config-types.ts';
import { SessionJournal, type SessionSpace } from './broker-session-journal.ts';
import { decodeMessage, type KeptPacket } from './broker-session-codec.ts';
import type { QueueContext } from './broker-session-queue.ts';
import { propertyBytes } from './property-bytes.ts';
import { RefusalLine, shortened } from './refusal-line.ts';
import { isShareMarker, matchedFilter } from './broker-share-filter.ts';
import { Session, type SessionRecord, type SubscriptionTerms } from './broker-session.ts';
import { TopicTree } from './broker-topic-tree.ts';

export interface SessionStoreOptions {
  readonly space: SessionSpace;
  /** Where referenced payloads are read; absent: messages are kept whole. */
  readonly reader?: Pick<LogReader, 'cursor'> | undefined;
  readonly caps: SessionCaps;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** A subscription of a lasting session, as aedes looks for it by topic. */
export interface KeptMatch extends SubscriptionTerms {
  readonly clientId: string;
  readonly topic: string;
}

const NUMBER_BYTES = 8;

/**
 * The sessions that outlive their connections, retained messages and wills: in memory to be found,
 * and in a space of the state database to outlive us. Changes count at once and are durable when the
 * journal says so; who acknowledges something waits for that.
 */
export class SessionStore {
  readonly journal: SessionJournal;
  readonly retained: RetainedMessages;
  readonly bounds: QueueBounds;
  readonly wills: Map<string, KeptPacket> = new Map();
  readonly #options: SessionStoreOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #filters = new TopicTree<KeptMatch>();
  /** Shared ones, by the filter that topics are to match. */
  readonly #shared = new TopicTree<KeptMatch>();
  readonly #context: QueueContext;
  readonly #ended: ((session: Session) => void)[] = [];
  readonly #loadedMs: number;
  #willBytes = 0;
  #notRetained = 0;

  private constructor(options: SessionStoreOptions) {
    this.#options = options;
    this.#loadedMs = options.clock.nowMs();
    const { space, reader, caps, logger } = options;
    this.journal = new SessionJournal(space, options);
    this.bounds = new QueueBounds(caps, logger, () => this.#queues());
    const full = new RefusalLine('retained.full', options);
    this.retained = new RetainedMessages(
      this.journal,
      caps.retainedBytes,
      options.clock,
      ({ topic, clientId, leftBy }) => {
        this.bounds.count();
        this.#notRetained++;
        const who = { client: shortened(clientId), user: shortened(leftBy?.user) };
        const why =
          'a message was stored and delivered, but not retained, and what was retained of its topic before is gone: retained messages (mqtt.sessions.retained), or the share of one user or client, are at their bound';
        full.say({ ...who, topic: shortened(topic) }, why);
      },
    );
    this.#context = {
      journal: this.journal,
      payloads: new LogPayloads(reader),
      resized: this.bounds.resized,
      skipped: () =>
        this.bounds.drop('a queued message is not in the log any more, and was passed over'),
    };
  }

  static async load(options: SessionStoreOptions): Promise<SessionStore> {
    const store = new SessionStore(options);
    await store.#load();
    return store;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Messages for which there was no room among the retained ones. */
  get notRetained(): number {
    return this.#notRetained;
  }

  /** Of wills, those of who is away with one to come included. */
  get willBytes(): number {
    return this.#willBytes;
  }

  /** Subscriptions that have a queue. */
  get filters(): number {
    return this.#filters.size;
  }

  sessions(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  session(clientId: string): Session | undefined {
    return this.#sessions.get(clientId);
  }

  /** Begins a session if there is none; at their bound the one that is away longest goes. */
  ensure(clientId: string, expiry: number | null = null): Session {
    const known = this.#sessions.get(clientId);
    if (known !== undefined) return known;
    if (this.#sessions.size >= LIMITS.mqttSessions) this.#forgetOldest();
    const number = this.#options.random.hex(NUMBER_BYTES);
    const session = new Session(clientId, number, this.#context);
    session.expiry = expiry;
    this.#sessions.set(clientId, session);
    this.journal.put(session.key, session.record());
    return session;
  }

  /** The session itself has changed. */
  noteRecord(session: Session): void {
    if (this.#sessions.get(session.clientId) !== session) return;
    this.journal.put(session.key, session.record());
  }

  onEnd(told: (session: Session) => void): void {
    this.#ended.push(told);
  }

  /** The session and all that is kept of it ends. */
  end(clientId: string): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    this.#sessions.delete(clientId);
    this.journal.remove(session.key);
    for (const filter of session.subscriptions.keys()) this.unsubscribe(session, filter);
    session.queue.clearAll();
    for (const told of this.#ended) told(session);
  }

  /** Messages are queued for it with `queueFor`. */
  subscribe(session: Session, filter: string, terms: SubscriptionTerms): void {
    const fresh = !session.subscriptions.has(filter);
    session.subscriptions.set(filter, terms);
    const value = Buffer.from(JSON.stringify(terms));
    this.journal.put(session.subscriptionKey(filter), value, fresh);
  }

  queueFor(session: Session, filter: string): void {
    const terms = session.subscriptions.get(filter);
    const isThere = this.#sessions.get(session.clientId) === session;
    if (isThere && terms !== undefined) this.#index(session, filter, terms);
  }

  unsubscribe(session: Session, filter: string): void {
    if (!session.subscriptions.delete(filter)) return;
    this.#unindex(session, filter);
    this.journal.remove(session.subscriptionKey(filter));
  }

  /** Subscriptions of lasting sessions at QoS 1 and 2: those for which messages are queued. */
  matching(topic: string): KeptMatch[] {
    return this.#filters.size === 0 ? [] : this.#filters.matching(topic);
  }

  /** The same of shared ones; their topic is the marker (broker-share-filter.ts). */
  matchingShared(topic: string): KeptMatch[] {
    return this.#shared.size === 0 ? [] : this.#shared.matching(topic);
  }

  setWill(clientId: string, will: KeptPacket, encoded: Uint8Array): void {
    const known = this.wills.get(clientId);
    const fresh = known === undefined;
    this.#willBytes += bytesOf(will) - (known === undefined ? 0 : bytesOf(known));
    this.wills.set(clientId, will);
    this.journal.put(willKey(clientId), encoded, fresh);
  }

  /** `only`: not another one that has taken its place. */
  dropWill(clientId: string, only?: object): void {
    const will = this.wills.get(clientId);
    if (will === undefined || (only !== undefined && will !== only)) return;
    this.#willBytes -= bytesOf(will);
    this.wills.delete(clientId);
    this.journal.remove(willKey(clientId));
  }

  #forgetOldest(): void {
    let oldest: Session | undefined;
    // Who was connected when we ended was there until then.
    const leftOf = ({ left = this.#loadedMs }: Session): number => left;
    for (const session of this.#sessions.values()) {
      if (session.holders > 0) continue;
      if (oldest === undefined || leftOf(session) < leftOf(oldest)) oldest = session;
    }
    if (oldest === undefined) return;
    const { clientId } = oldest;
    this.#options.logger.warn(
      { client: clientId, limit: LIMITS.mqttSessions },
      'there are too many sessions: the one that is away longest was ended',
    );
    this.end(clientId);
  }

  #index(session: Session, filter: string, terms: SubscriptionTerms): void {
    const { clientId } = session;
    if (terms.qos === 0) {
      this.#unindex(session, filter);
      return;
    }
    const { qos, rh, rap, nl } = terms;
    const match = { clientId, topic: filter, qos, rh, rap, nl };
    if (isShareMarker(filter)) {
      this.#shared.set(matchedFilter(filter), `${filter} ${clientId}`, match);
    } else this.#filters.set(filter, clientId, match);
  }

  #unindex({ clientId }: Session, filter: string): void {
    if (isShareMarker(filter)) {
      this.#shared.delete(matchedFilter(filter), `${filter} ${clientId}`);
    } else this.#filters.delete(filter, clientId);
  }

  *#queues(): Generator<Session['queue']> {
    for (const session of this.#sessions.values()) yield session.queue;
  }

  async #load(): Promise<void> {
    const byNumber = new Map<string, Session>();
    await this.#each('session/', (clientId, value) => {
      const { number, expiry, left, user, roles = [] } = JSON.parse(textOf(value)) as SessionRecord;
      const session = new Session(clientId, number, this.#context);
      session.expiry = expiry;
      session.left = left;
      session.owner = user;
      session.roles = roles;
      this.#sessions.set(clientId, session);
      byNumber.set(number, session);
    });
    await this.#eachOf('sub/', byNumber, (session, filter, value) => {
      const terms = JSON.parse(textOf(value)) as SubscriptionTerms;
      session.subscriptions.set(filter, terms);
      this.#index(session, filter, terms);
    });
    await this.#eachOf('queue/', byNumber, (session, place, value) =>
      session.queue.restore(place, value),
    );
    await this.#eachOf('flight/', byNumber, (session, place, value) =>
      session.queue.restoreFlight(place, value),
    );
    for (const { queue } of this.#sessions.values()) queue.restored();
    for (const kind of ['released', 'delivered'] as const) {
      await this.#eachOf(`${kind}/`, byNumber, (session, slot, value) => {
        session[kind].set(Number(slot), Number(textOf(value)));
      });
    }
    await this.#each('retained/', (_, value) => this.retained.restore(value));
    await this.#each('will/', (clientId, value) => {
      const { packet } = decodeMessage(value);
      this.wills.set(clientId, packet);
      this.#willBytes += bytesOf(packet);
    });
  }

  /** What belongs to a session; what is left of one that ended is cleared away. */
  #eachOf(
    prefix: string,
    byNumber: ReadonlyMap<string, Session>,
    visit: (session: Session, rest: string, value: Uint8Array) => void,
  ): Promise<void> {
    return this.#each(prefix, (name, value) => {
      const at = name.indexOf('/');
      const session = byNumber.get(name.slice(0, at));
      if (session === undefined) this.journal.remove(prefix + name);
      else visit(session, name.slice(at + 1), value);
    });
  }

  async #each(prefix: string, visit: (rest: string, value: Uint8Array) => void): Promise<void> {
    for await (const [key, value] of this.#options.space.scan(prefix)) {
      try {
        visit(key.slice(prefix.length), value);
      } catch (error) {
        this.#options.logger.error(
          { key, error: messageOf(error) },
          'a stored session is not used',
        );
        this.journal.remove(key);
      }
    }
  }
}

/** Of a will, as its CONNECT says it. */
function bytesOf({ topic, payload, properties }: KeptPacket): number {
  return topic.length + payload.length + propertyBytes(properties);
}

function willKey(clientId: string): string {
  return `will/${clientId}`;
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value).toString('utf8');
}
