import type { Client } from 'aedes';
import type { AccessFileStatus } from '../admin/access-file-status.ts';
import type { CertificateStatus } from '../admin/certificate-status.ts';
import type { ClientList } from '../admin/client-status.ts';
import type { DedupStatus } from '../admin/status.ts';
import { LIMITS } from '../limits.ts';
import { type ChangedAdmission } from './broker-admission.ts';
import { Audit } from './broker-audit.ts';
import { HeldAcks } from './broker-ack-line.ts';
import { AckRound } from './broker-acks.ts';
import { adopt, type AedesClient } from './broker-aedes.ts';
import { Certificates } from './broker-certificates.ts';
import { Clients } from './broker-client-list.ts';
import { DeviceConnection } from './broker-connection.ts';
import type { ConnectionContext } from './broker-connection-context.ts';
import { type DeviceStream, Door, onceClosed } from './broker-door.ts';
import { HeldParts } from './broker-held-parts.ts';
import type { BrokerOptions } from './broker-options.ts';
import type { ClientLimits } from '../client-limits.ts';
import { shortened } from './refusal-line.ts';
import { Lingering } from './broker-lingering.ts';
import { type Entrance, LOGIN_ENDS } from './broker-logins.ts';
import { closeListener, type Listener, listenOn, type ListenParts } from './broker-listen.ts';
import { LiveDelivery } from './broker-live.ts';
import { PublishDecoder } from './broker-publish.ts';
import { Qos2Sessions } from './broker-qos2-sessions.ts';
import { Rates } from './broker-rates.ts';
import { SlowReaders } from './broker-slow-readers.ts';
import type { SystemTopics } from './broker-system.ts';
import { startSystemTopics } from './broker-system-figures.ts';
import { Throttle } from './broker-throttle.ts';
import { Violations, type ViolationsOptions } from './broker-violations.ts';
import { REASON } from './broker-reasons.ts';
import { HeldMessages } from './broker-websocket-held.ts';
import type { IngestCounters } from './ingest.ts';
import { admitsAnonymous, hasNames, hasUsers, isForAnybodyHere } from './listen-policy.ts';
import { type BrokerParts, brokerParts, judgeSessions } from './broker-parts.ts';

export interface BrokerCounters extends IngestCounters {
  readonly connections: number;
  readonly connectionsTotal: number;
  /** Refused at a limit of connections, in their TLS or WebSocket handshake, or for their credentials. */
  readonly connectionsRefused: number;
  readonly loginsRefused: number;
  /** Publishes to `$SYS/`, and what `mqtt.acl` does not allow: publishes, and filters of subscriptions. */
  readonly refused: number;
  /** Connections ended because the peer broke the protocol or a limit. */
  readonly violations: number;
  /** Messages not retained, not queued for a session or given up there, at their bounds. */
  readonly notKept: number;
  /** Of those: for which there was no room among the retained ones. */
  readonly notRetained: number;
  /** Sessions that outlive their connections, and the bytes that are queued for them. */
  readonly sessions: number;
  readonly queuedBytes: number;
  /** Bytes of packets that have not come whole yet, or wait for their clients to be read on. */
  readonly heldBytes: number;
  /** null: numbers of devices say nothing. */
  readonly dedup: DedupStatus | null;
}

export interface Broker {
  /** With the ports really taken, as in `mqtt://127.0.0.1:1883`. */
  addresses(): readonly string[];
  counters(): BrokerCounters;
  /** Whoever gets here may subscribe to everything: no name is asked for, and no rules say otherwise. */
  isOpen(): boolean;
  /** Who is connected, so many at most. */
  clients(atMost: number): ClientList;
  certificates(): readonly CertificateStatus[];
  /** The files of users and rules, and the keys of tokens. */
  accessFiles(): readonly AccessFileStatus[];
  /** Users and rules are others from now on, for those who are connected, too. */
  changeAdmission(changed: ChangedAdmission): void;
  /** For who is connected, too, but for `inFlight`, which they were told. */
  changeLimits(limits: ClientLimits): void;
  /** Looks at the files of certificates, users and keys now, and takes new ones. Never rejects. */
  lookAtFiles(): Promise<void>;
  /**
   * Stops accepting, waits until what was accepted is settled and acknowledged, tells MQTT 5
   * clients, closes. Ends within LIMITS.drainMs. Idempotent.
   */
  stop(): Promise<void>;
}

/** Throws GatelogError LISTEN_FAILED or CONFIG_INVALID. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const broker = new RunningBroker(options, await brokerParts(options));
  try {
    await broker.listen();
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

/**
 * The MQTT broker: aedes (2.0.0-beta.1, pinned) for handshakes, subscriptions and live delivery,
 * over our own persistence (broker-persistence.ts); our own way for PUBLISH, because of these facts
 * about aedes, each with a test in test/agent/broker-aedes-facts.test.ts:
 *
 * 1. It acknowledges QoS 1 before it publishes: only `authorizePublish` could hold an ack back.
 * 2. Hooks of one socket read run concurrently and acks leave in the order in which hooks finish.
 * 3. A QoS 2 resend calls the hook again before the duplicate is looked for.
 * 4. For MQTT 5 an error from the hook becomes an ack with reason 0x87, and the device drops its
 *    copy.
 * 5. Its parser loses the order of user properties, and empty ones before a repeat.
 * 6. Its maps of clients and subscriptions are plain objects: a client named `constructor` throws.
 * 7. It lowers a message's QoS to that of the subscription only for filters without a wildcard.
 * 8. It loses live messages that overtake each other between numbering and emitting (QoS 0 and 1
 *    mixed, or retained ones): see broker-publish-order.ts.
 * 9. It mixes up the PUBRELs of a lasting session (its own memory does): see broker-session-queue.ts.
 * 10. Wills go through `authorizePublish`; the broker's own `$SYS` messages do not.
 *
 * So each connection's bytes pass through a DeviceConnection first, which hands aedes everything
 * but PUBLISH and PUBREL.
 */
class RunningBroker implements Broker {
  readonly #options: BrokerOptions;
  readonly #parts: BrokerParts;
  readonly #context: ConnectionContext;
  readonly #connections = new Map<DeviceConnection, AedesClient>();
  readonly #listeners: Listener[] = [];
  readonly #door: Door;
  readonly #certificates: Certificates;
  readonly #audit: Audit;
  readonly #clients: Clients;
  readonly #slowReaders: SlowReaders;
  readonly #violations: Violations;
  readonly #system: SystemTopics | undefined;
  #connectionsTotal = 0;
  #stopped: Promise<void> | undefined;
  #noConnections: (() => void) | undefined;

  constructor(options: BrokerOptions, parts: BrokerParts) {
    this.#options = options;
    const { clock, logger, maxConnections = LIMITS.mqttConnections } = options;
    const { maxConnectionsPerAddress } = options;
    const { limits } = parts;
    this.#door = new Door({ maxConnections, maxConnectionsPerAddress, limits, clock, logger });
    this.#certificates = new Certificates(clock, logger);
    const { logConnections = true } = options;
    const userOf = (client: object): string | undefined =>
      parts.admission.logins.whoIs(client).user;
    this.#audit = new Audit({ logConnections, userOf, clock, logger });
    this.#audit.watch(parts.handle);
    this.#clients = new Clients(clock, userOf);
    this.#slowReaders = new SlowReaders(options, (client) => this.#audit.note(client, 'too-slow'));
    const noteEnd: ViolationsOptions['noteEnd'] = (whose, why) => this.#audit.note(whose, why);
    this.#violations = new Violations({ clock, logger, noteEnd });
    this.#parts = parts;
    const { handle, hooks, sessions, persistence, admission, numbers, order } = parts;
    const { access, logins } = admission;
    admission.watch(
      () => this.#endUnwelcome(),
      () => this.#judgeAnew(),
    );
    const { subscriptions } = hooks;
    parts.shared.watch(handle.inner);
    subscriptions.watch(handle.inner, persistence.store);
    parts.retained.watch(handle.inner);
    order.watch(handle.inner);
    sessions.watch(handle);
    parts.edges.watch(handle);
    handle.broker.on('subscribe', (asked, client) => this.#subscribed(asked, client));
    this.#context = {
      gate: options.gate,
      live: new LiveDelivery(order, subscriptions, persistence),
      qos2: new Qos2Sessions(persistence.store, options.gate.producers, limits.inFlight),
      throttle: new Throttle(options.gate, options.clock),
      acks: new AckRound(),
      heldAcks: new HeldAcks(),
      answering: parts.answering,
      lingering: new Lingering(options.clock),
      decoder: new PublishDecoder(),
      violations: this.#violations,
      maxPacketBytes: options.maxPacketBytes,
      numbersOf: (client) => numbers?.of({ user: logins.whoIs(client).user, client: client.id }),
      doneUnasked: (error) => options.gate.settledUnasked(error),
      accessOf: (client) => access.of(client),
      refused: (client, topic) => access.refuse(client, 'publish', topic),
      limits,
      rates: new Rates(limits, clock),
      heldParts: new HeldParts(),
      counters: { willBytes: 0 },
      traffic: parts.edges.traffic,
      keptWillBytes: () => persistence.store.willBytes,
    };
    const { traffic, acks } = this.#context;
    const acknowledged = (): number => acks.sent;
    const clients = (): Iterable<AedesClient> => this.#connections.values();
    const told = { traffic, persistence, subscriptions, order, acknowledged, clients };
    this.#system = startSystemTopics(options, { ...told, counters: () => this.counters() });
  }

  /** A SUBSCRIBE was answered. */
  readonly #subscribed = (asked: readonly { readonly topic: string }[], client: Client): void => {
    this.#parts.hooks.subscribed(client as AedesClient, asked);
    this.#context.answering.told(client);
  };

  async listen(): Promise<void> {
    const parts: ListenParts = {
      door: this.#door,
      certificates: this.#certificates,
      held: new HeldMessages(),
      take: (stream, entrance) => this.#take(stream, entrance),
      violated: (stream, why) => this.#violations.ofStream(stream, why),
    };
    const withUsers = hasUsers(this.#options);
    for (const listen of this.#options.listen) {
      this.#listeners.push(await listenOn(listen, admitsAnonymous(listen, withUsers), parts));
    }
  }

  addresses(): readonly string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  isOpen(): boolean {
    const isForAnybody = this.#options.listen.some((listen) => isForAnybodyHere(listen));
    return isForAnybody && !hasNames(this.#options) && this.#parts.admission.access.isOpen;
  }

  counters(): BrokerCounters {
    const { admission, persistence, numbers } = this.#parts;
    const { access, logins } = admission;
    const { store } = persistence;
    return {
      ...this.#options.gate.counters(),
      violations: this.#violations.count,
      heldBytes: this.#context.heldParts.bytes,
      refused: access.refused,
      notKept: store.bounds.dropped + this.#slowReaders.dropped,
      notRetained: store.notRetained,
      sessions: store.size,
      queuedBytes: store.bounds.bytes,
      dedup: numbers?.counts() ?? null,
      connections: this.#connections.size,
      connectionsTotal: this.#connectionsTotal,
      connectionsRefused: this.#door.turnedAway + logins.refused,
      loginsRefused: logins.refused,
    };
  }

  clients(atMost: number): ClientList {
    return this.#clients.list(this.#connections.values(), atMost);
  }

  certificates(): readonly CertificateStatus[] {
    return this.#certificates.status();
  }

  accessFiles(): readonly AccessFileStatus[] {
    return this.#parts.admission.status();
  }

  changeLimits(limits: ClientLimits): void {
    const { inFlight } = this.#parts.limits;
    Object.assign(this.#parts.limits, limits, { inFlight });
    this.#door.changeLimits(limits);
    this.#context.rates.change(this.#parts.limits);
    for (const connection of this.#connections.keys()) connection.takeLimits();
  }

  changeAdmission(changed: ChangedAdmission): void {
    this.#parts.admission.change(changed);
  }

  async lookAtFiles(): Promise<void> {
    await Promise.all([this.#certificates.look(), this.#parts.admission.look()]);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Who is no user any more, has another password, or whose token has ended. */
  #endUnwelcome(): void {
    const { logins } = this.#parts.admission;
    for (const [connection, client] of this.#connections) {
      const end = logins.endOf(client);
      if (end === undefined) continue;
      const { user } = logins.whoIs(client);
      const from = (client.conn as DeviceStream).remoteAddress;
      const about = { event: `login.${end}`, client: shortened(client.id), user, from };
      this.#options.logger.warn(about, `connection ended: ${LOGIN_ENDS[end]}`);
      connection.end(REASON.notAuthorized);
    }
  }

  /** Publishes, what is delivered and what is queued are under the new rules at once; no connection ends. */
  #judgeAnew(): void {
    const { admission, persistence } = this.#parts;
    judgeSessions(persistence.store, admission.access);
    for (const [connection, client] of this.#connections) {
      if (admission.access.of(client) === undefined) continue;
      admission.access.judge(client);
      connection.judgedAnew();
    }
  }

  #take(stream: DeviceStream, entrance: Entrance): void {
    this.#connectionsTotal++;
    this.#parts.admission.logins.enter(stream, entrance);
    const client = adopt(this.#parts.handle, stream);
    this.#clients.entered(client);
    // First: it is to have the last word on how a message goes to the client.
    this.#slowReaders.watch(client);
    this.#parts.edges.add(client, stream);
    const connection = new DeviceConnection(this.#context, client, stream);
    this.#connections.set(connection, client);
    onceClosed(stream, () => {
      const { edges, shared, hooks } = this.#parts;
      client.close();
      edges.left(client);
      connection.left();
      this.#connections.delete(connection);
      shared.left(client);
      hooks.left(client);
      if (this.#connections.size === 0) this.#noConnections?.();
    });
  }

  async #stop(): Promise<void> {
    const closed = this.#listeners.map((listener) => closeListener(listener));
    this.#certificates.stop();
    this.#parts.admission.stop();
    this.#system?.stop();
    this.#audit.stopping();
    this.#door.shut();
    for (const connection of this.#connections.keys()) connection.stopReading();
    const settled = new Promise<void>((resolve) => {
      this.#options.gate.settled(() => resolve());
    });
    const acknowledged = settled.then(() => this.#context.heldAcks.none());
    await this.#atMost(LIMITS.drainMs / 2, acknowledged);
    for (const connection of this.#connections.keys()) connection.sayGoodbye();
    await this.#atMost(LIMITS.goodbyeMs, this.#everybodyGone());
    const aedesClosed = new Promise<void>((resolve) => {
      this.#parts.handle.broker.close(() => resolve());
    });
    await this.#atMost(LIMITS.goodbyeMs, aedesClosed);
    for (const connection of this.#connections.keys()) connection.destroy();
    this.#door.destroyAll();
    await this.#atMost(LIMITS.goodbyeMs, Promise.all(closed));
    await this.#atMost(LIMITS.goodbyeMs, this.#parts.sessions.stop());
    this.#audit.stop();
    this.#violations.stop();
  }

  #everybodyGone(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#noConnections = resolve;
    });
  }

  async #atMost(ms: number, work: Promise<unknown>): Promise<void> {
    const controller = new AbortController();
    const ended = work.finally(() => controller.abort());
    await Promise.race([ended, this.#options.clock.sleep(ms, controller.signal)]);
  }
}
