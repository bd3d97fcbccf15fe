import type { Socket } from 'node:net';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { AckRound } from './broker-acks.ts';
import { adopt, type AedesHandle, createAedes } from './broker-aedes.ts';
import { type BrokerUser, UserTable } from './broker-auth.ts';
import { SessionBounds } from './broker-bounds.ts';
import { type ConnectionContext, DeviceConnection } from './broker-connection.ts';
import { Hooks } from './broker-hooks.ts';
import { closeListener, type Listener, listenOn } from './broker-listen.ts';
import { LiveDelivery } from './broker-live.ts';
import { PublishOrder } from './broker-publish-order.ts';
import { PublishDecoder } from './broker-publish.ts';
import { Qos2Sessions } from './broker-qos2.ts';
import { Throttle } from './broker-throttle.ts';
import type { IngestCounters, IngestGate } from './ingest.ts';

/**
 * The MQTT broker: aedes (2.0.0-beta.1, pinned) for sessions, subscriptions, retained messages and
 * live delivery; our own way for PUBLISH, because of these facts about aedes, each with a test in
 * test/agent/broker-aedes-facts.test.ts:
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
 * 9. It mixes up the PUBRELs of a lasting session: see broker-aedes.ts.
 * 10. Wills go through `authorizePublish`; the broker's own `$SYS` messages do not.
 *
 * So each connection's bytes pass through a DeviceConnection first, which hands aedes everything
 * but PUBLISH and PUBREL.
 */
export interface BrokerOptions {
  readonly gate: IngestGate;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `mqtt://HOST:PORT` each; port 0 takes any free one. */
  readonly listen: readonly string[];
  /** Empty: everyone may connect. */
  readonly users: readonly BrokerUser[];
  readonly maxPacketBytes: number;
  /** Default LIMITS.mqttConnections. */
  readonly maxConnections?: number;
}

export interface BrokerCounters extends IngestCounters {
  readonly connections: number;
  readonly connectionsTotal: number;
  /** Refused at the limit of connections, or for their credentials. */
  readonly connectionsRefused: number;
  /** Publishes to `$SYS/`. */
  readonly refused: number;
  /** Connections ended because the peer broke the protocol or a limit. */
  readonly violations: number;
  /** Live copies not retained or not queued for a session, at their bounds. */
  readonly notKept: number;
  /** Bytes of packets that have not come whole yet. */
  readonly heldBytes: number;
}

export interface Broker {
  /** With the ports really taken, as in `mqtt://127.0.0.1:1883`. */
  addresses(): readonly string[];
  counters(): BrokerCounters;
  /**
   * Stops accepting, waits until what was accepted is settled and acknowledged, tells MQTT 5
   * clients, closes. Ends within LIMITS.drainMs. Idempotent.
   */
  stop(): Promise<void>;
}

/** Throws GatelogError LISTEN_FAILED or CONFIG_INVALID. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const hooks = new Hooks({ ...options, users: new UserTable(options.users) });
  const handle = await createAedes(hooks.aedesOptions());
  handle.broker.addListener('error', (error: unknown) => {
    options.logger.error({}, `broker: ${messageOf(error)}`);
  });
  handle.broker.on('clientError', (client, error) => {
    options.logger.debug({ client: client.id }, `connection: ${messageOf(error)}`);
  });
  const broker = new RunningBroker(options, handle, hooks);
  try {
    await broker.listen();
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

class RunningBroker implements Broker {
  readonly #options: BrokerOptions;
  readonly #handle: AedesHandle;
  readonly #hooks: Hooks;
  readonly #context: ConnectionContext;
  readonly #bounds: SessionBounds;
  readonly #connections = new Set<DeviceConnection>();
  readonly #listeners: Listener[] = [];
  #connectionsTotal = 0;
  #turnedAway = 0;
  #stopped: Promise<void> | undefined;
  #noConnections: (() => void) | undefined;

  constructor(options: BrokerOptions, handle: AedesHandle, hooks: Hooks) {
    this.#options = options;
    this.#handle = handle;
    this.#hooks = hooks;
    const { subscriptions } = hooks;
    subscriptions.watch(handle.inner);
    new PublishOrder().watch(handle.inner);
    this.#bounds = new SessionBounds(options.logger);
    this.#bounds.watch(handle.inner.persistence);
    const qos2 = new Qos2Sessions();
    qos2.watch(handle.inner.persistence);
    handle.broker.on('sessionLimitReached', (client, { reason }) => {
      if (reason === 'sessionExpiry') qos2.forget(client.id);
    });
    handle.broker.on('sessionExpired', (client) => qos2.forget(client.id));
    this.#context = {
      gate: options.gate,
      live: new LiveDelivery(handle.inner, subscriptions),
      qos2,
      throttle: new Throttle(options.gate, options.clock),
      acks: new AckRound(),
      decoder: new PublishDecoder(),
      logger: options.logger,
      maxPacketBytes: options.maxPacketBytes,
      counters: { refused: 0, violations: 0, heldBytes: 0 },
    };
  }

  async listen(): Promise<void> {
    for (const url of this.#options.listen) {
      this.#listeners.push(await listenOn(url, (socket) => this.#take(socket)));
    }
  }

  addresses(): readonly string[] {
    return this.#listeners.map((listener) => listener.address);
  }

  counters(): BrokerCounters {
    return {
      ...this.#options.gate.counters(),
      ...this.#context.counters,
      notKept: this.#bounds.dropped,
      connections: this.#connections.size,
      connectionsTotal: this.#connectionsTotal,
      connectionsRefused: this.#turnedAway + this.#hooks.refusedLogins,
    };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  #take(socket: Socket): void {
    const limit = this.#options.maxConnections ?? LIMITS.mqttConnections;
    if (this.#stopped !== undefined || this.#connections.size >= limit) {
      this.#turnedAway++;
      this.#options.logger.warn({ from: socket.remoteAddress, limit }, 'connection turned away');
      socket.destroy();
      return;
    }
    this.#connectionsTotal++;
    const connection = new DeviceConnection(this.#context, adopt(this.#handle, socket), socket);
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#noConnections?.();
    });
  }

  async #stop(): Promise<void> {
    const closed = this.#listeners.map((listener) => closeListener(listener));
    for (const connection of this.#connections) connection.stopReading();
    const settled = new Promise<void>((resolve) => {
      this.#options.gate.settled(() => resolve());
    });
    await this.#atMost(LIMITS.drainMs / 2, settled);
    for (const connection of this.#connections) connection.sayGoodbye();
    await this.#atMost(LIMITS.goodbyeMs, this.#everybodyGone());
    const aedesClosed = new Promise<void>((resolve) => {
      this.#handle.broker.close(() => resolve());
    });
    await this.#atMost(LIMITS.goodbyeMs, aedesClosed);
    for (const connection of this.#connections) connection.destroy();
    await this.#atMost(LIMITS.goodbyeMs, Promise.all(closed));
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
