import type { AedesOptions, Client } from 'aedes';
import { CLIENT_BOUNDS, type ClientLimits } from '../client-limits.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { AccessControl } from './broker-access.ts';
import type { AedesClient, WillPacket } from './broker-aedes.ts';
import type { ClientIds } from './broker-client-ids.ts';
import type { DeviceStream } from './broker-door.ts';
import type { Edges } from './broker-edges.ts';
import { fromAedesProperties } from './broker-live.ts';
import type { Logins } from './broker-logins.ts';
import { answeredOwn, grantOwn } from './broker-own-filters.ts';
import type { Forwarded } from './broker-overlaps.ts';
import { checkTopic } from './broker-publish.ts';
import { REASON } from './broker-reasons.ts';
import { filterAsAsked, isShareMarker, MARKER_LEVELS, NO_FILTER } from './broker-share-filter.ts';
import { shareOfCopy, type SharedSubscriptions } from './broker-shared.ts';
import { RefusalLine, shortened } from './refusal-line.ts';
import { UserConnections } from './broker-user-connections.ts';
import { identifiersFor, Subscriptions } from './broker-subscriptions.ts';
import type { RetainedAnswers } from './broker-retained-answers.ts';
import { PRESENT, type Sessions } from './broker-sessions.ts';
import type { IngestGate } from './ingest.ts';
import type { Qos } from './publication.ts';

export interface HooksOptions {
  readonly gate: IngestGate;
  readonly logger: Logger;
  readonly logins: Logins;
  readonly access: AccessControl;
  readonly clientIds: ClientIds;
  readonly sessions: Pick<Sessions, 'begin' | 'isResent' | 'refuses'>;
  readonly maxPacketBytes: number;
  readonly shared: SharedSubscriptions;
  readonly edges: Edges;
  readonly retained: RetainedAnswers;
  readonly limits: ClientLimits;
  readonly maxConnectionsPerUser?: number | undefined;
  readonly clock: Clock;
}

interface ForwardedPacket extends Forwarded {
  dup: boolean;
  readonly brokerId?: string | undefined;
  readonly messageId?: number;
}

interface RequestedSubscription {
  readonly topic: string;
  readonly qos: Qos;
  readonly subscriptionIdentifier?: number;
}

type AuthenticateHook = NonNullable<AedesOptions['authenticate']>;

/** What brokers of one cluster of aedes tell each other; it names clients and their filters, and is for nobody else. */
const OF_AEDES = /^\$SYS\/[0-9a-f]{8}-[0-9a-f-]{27}\//u;

/** What aedes asks us: who may connect, what a will is, what a subscription gets. */
export class Hooks {
  readonly subscriptions: Subscriptions = new Subscriptions();
  readonly #options: HooksOptions;
  /** Clients that have a subscription with an identifier. */
  readonly #identified = new WeakSet<object>();
  readonly #full: RefusalLine;
  readonly #users: UserConnections;

  constructor(options: HooksOptions) {
    this.#options = options;
    this.#full = new RefusalLine('subscriptions.full', options);
    this.#users = new UserConnections(options.maxConnectionsPerUser);
  }

  aedesOptions(): AedesOptions {
    const { limits } = this.#options;
    return {
      connectTimeout: LISTEN_LIMITS.greetingMs,
      // Ours are looked at before (broker-packet-check.ts); markers of shares have more.
      maxTopicLevels: CLIENT_BOUNDS.topicLevels + MARKER_LEVELS,
      maximumPacketSize: this.#options.maxPacketBytes,
      receiveMaximum: limits.inFlight,
      topicAliasMaximum: LIMITS.topicAliases,
      pendingSessionsLimit: LIMITS.mqttSessions,
      preConnect: (client, packet, callback) => {
        const trouble =
          packet.will === undefined ? undefined : willTrouble(packet.will.topic, limits);
        if (trouble !== undefined && packet.protocolVersion === 5) {
          client.conn.write(Buffer.from([0x20, 3, 0, REASON.topicNameInvalid, 0]));
        }
        callback(trouble ?? null, trouble === undefined);
      },
      authenticate: (client, username, password, done) => {
        const device = client as AedesClient;
        const { logins } = this.#options;
        void logins.check(device, username, password, done, () => this.#admit(device, done));
      },
      authorizeSubscribe: (client, subscription, callback) => {
        const isGranted = this.#maySubscribe(client as AedesClient, subscription);
        callback(null, isGranted ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        // aedes subscribes for a session before it has sent CONNACK, which must be the first packet [MQTT-3.2.0-1]. What is
        // for the session until then stands in its queue, which follows CONNACK; at QoS 0 it comes as if to nobody.
        if (!(client as AedesClient).connackSent) return null;
        if (OF_AEDES.test(packet.topic)) return null;
        if (this.#options.access.of(client)?.mayReceive(packet.topic) === false) return null;
        if (isAnswer(packet) && this.#options.retained.isPast(packet)) return null;
        this.#forward(client as AedesClient, packet);
        return packet;
      },
      authorizePublish: (client, packet, callback) => {
        const will = packet as unknown as WillPacket;
        if (client !== null && !this.#mayLeave(client, will)) {
          callback(new Error('the will may not be published any more'));
        } else this.#will(client?.id ?? '', will, callback);
      },
    };
  }

  #maySubscribe(client: AedesClient, subscription: object): boolean {
    const { access, shared, edges } = this.#options;
    const { topic, qos, subscriptionIdentifier } = subscription as RequestedSubscription;
    const filter = filterAsAsked(topic);
    if (topic === NO_FILTER) return false; // not well-formed: the edge has said so
    if (topic === PRESENT) return false; // nobody asked for it, and it has nothing to deliver
    if (access.of(client)?.maySubscribe(filter) === false) {
      access.refuse(client, 'subscribe', filter);
      edges.refuse(client, filter, REASON.notAuthorized);
      return false;
    }
    if (!this.#takes(client, topic)) {
      edges.refuse(client, filter, REASON.quotaExceeded);
      return false;
    }
    this.subscriptions.granted(subscription as RequestedSubscription);
    this.#options.retained.asked(client, topic);
    if (subscriptionIdentifier !== undefined) this.#identified.add(client);
    if (isShareMarker(topic)) shared.join(client, topic);
    else edges.overlaps.asked(client, qos);
    return true;
  }

  /** A SUBSCRIBE was answered. */
  subscribed(client: AedesClient, asked: readonly { readonly topic: string }[]): void {
    answeredOwn(client.subscriptions, asked);
    this.#options.retained.subscribed(client, asked);
  }

  /** Its connection has ended, whether it was admitted or not. */
  left(client: AedesClient): void {
    const { clientIds, logins } = this.#options;
    clientIds.left(client);
    this.#users.left(logins.whoIs(client).user, client);
  }

  #forward(client: AedesClient, packet: ForwardedPacket): void {
    const { messageId, topic } = packet;
    if (messageId !== undefined) {
      packet.dup = this.#options.sessions.isResent(client.id, messageId);
    }
    const share = shareOfCopy(packet);
    // A retained message that answers SUBSCRIBE has the identifier of that alone.
    if (!isAnswer(packet) && this.#identified.has(client)) {
      const ofShare = share === undefined ? undefined : client.subscriptions[share]?.si;
      const identifiers = share === undefined ? identifiersFor(client, topic) : (ofShare ?? []);
      packet.properties = { ...packet.properties, subscriptionIdentifier: identifiers };
    }
    // aedes lowers a message's QoS to the subscription's only when the filter has no wildcard.
    const isHigh = isAnswer(packet) || packet.qos === 2;
    if (share === undefined) this.#options.edges.overlaps.settle(client, packet, isHigh);
  }

  #takes(client: AedesClient, filter: string): boolean {
    const isFull = this.subscriptions.full;
    const most = this.#options.limits.subscriptions;
    if (!isFull && grantOwn(client.subscriptions, filter, most)) return true;
    const whose = isFull ? 'of all clients together' : 'of one client (mqtt.limits.subscriptions)';
    const { user } = this.#options.logins.whoIs(client);
    const from = (client.conn as DeviceStream).remoteAddress;
    this.#full.say({ client: shortened(client.id), user, from }, `too many subscriptions ${whose}`);
    return false;
  }

  async #admit(client: AedesClient, done: Parameters<AuthenticateHook>[3]): Promise<void> {
    const { access, clientIds, logins, sessions } = this.#options;
    const person = logins.whoIs(client);
    const { user } = person;
    const isAnothers = !clientIds.claim(client, user);
    if (isAnothers || !access.admit(client)) {
      logins.refuse(client, isAnothers ? 'taken' : 'forbidden', done);
      return;
    }
    if (sessions.refuses(client)) {
      logins.refuse(client, 'unkept', done);
      return;
    }
    if (!this.#users.admits(user, client)) {
      logins.refuse(client, 'crowded', done);
      return;
    }
    try {
      await sessions.begin(client, access.of(client), person);
    } catch (error) {
      this.#options.logger.warn({ client: client.id }, `connection refused: ${messageOf(error)}`);
      const returnCode: number = 3; // server unavailable
      done(Object.assign(new Error('the session could not be kept'), { returnCode }), false);
      return;
    }
    done(null, true);
  }

  /** What was allowed at CONNECT may not be now: who left it counts, and who is not known is nobody. */
  #mayLeave(
    client: Pick<Client, 'id'>,
    { topic, leftBy = { user: undefined } }: WillPacket,
  ): boolean {
    const { access } = this.#options;
    if (access.ofAbsent(leftBy, client.id)?.mayPublish(topic) !== false) return true;
    access.refuse(client, 'publish', topic);
    return false;
  }

  /** Wills are the only messages that come this way. */
  #will(client: string, will: WillPacket, callback: (error?: Error | null) => void): void {
    const { gate } = this.#options;
    const properties =
      will.properties === undefined ? undefined : fromAedesProperties(will.properties);
    const qos = (will.qos ?? 0) as Qos;
    const done = (error: Error | null): void => {
      if (qos === 0) gate.settledUnasked(error);
      else if (error !== null) gate.lost(entry, will.payload.length, error);
      // Nobody sends it again, and who waits for it is to have it though the log has not.
      callback(null);
    };
    // What follows is a PUBLISH, which must not say it.
    delete will.properties?.willDelayInterval;
    const entry = gate.entry(will.topic);
    const retain = will.retain === true;
    if (!gate.publish(entry, client, will.payload, qos, retain, properties, done)) callback(null);
  }
}

/** A retained message that answers SUBSCRIBE: it has no broker's id. */
function isAnswer({ brokerId }: { readonly brokerId?: string | null | undefined }): boolean {
  return (brokerId ?? null) === null;
}

function willTrouble(topic: string, limits: ClientLimits): Error | undefined {
  try {
    checkTopic(topic, limits);
  } catch (error) {
    return error as Error;
  }
  return topic.startsWith('$SYS/') ? new Error('a will may not go to $SYS/') : undefined;
}
