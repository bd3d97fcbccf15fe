import type { AedesClient, AedesProperties, LivePacket } from './broker-aedes.ts';
import type { SessionPersistence } from './broker-persistence.ts';
import type { Delivery } from './broker-qos2-slots.ts';
import type { PublishOrder } from './broker-publish-order.ts';
import type { Subscriptions } from './broker-subscriptions.ts';
import type { TopicEntry } from './ingest-topics.ts';
import type { StreamId } from '../record.ts';
import type { PublishProperties, Qos } from './publication.ts';

/** Live delivery: from the gate to subscribers, sessions and retained messages, by aedes. */
export class LiveDelivery {
  readonly #order: PublishOrder;
  readonly #subscriptions: Subscriptions;
  readonly #persistence: SessionPersistence;

  constructor(order: PublishOrder, subscriptions: Subscriptions, persistence: SessionPersistence) {
    this.#order = order;
    this.#subscriptions = subscriptions;
    this.#persistence = persistence;
  }

  /** Whether anybody wants the message, now or (retained) later. */
  wanted(entry: TopicEntry, retain: boolean): boolean {
    return retain || !this.#subscriptions.quiet(entry);
  }

  /** Whether something of it outlives us, so that its acknowledgement stands on that too. */
  keeps({ topic, qos, retain }: LivePacket): boolean {
    return qos > 0 && this.#persistence.keeps(topic, retain);
  }

  /** It stands in the log at that offset: queues may refer to it. `delivery` notes that they have it. */
  logged({ payload, logStream }: LivePacket, offset: number, delivery: Delivery | undefined): void {
    if (delivery !== undefined) this.#persistence.noteDelivery(payload, delivery);
    if (logStream === undefined || offset < 0) return;
    this.#persistence.refer(payload, { stream: logStream, offset });
  }

  /** `done` when aedes has handed it to every subscriber's connection. */
  deliver(packet: LivePacket, from: AedesClient, done: () => void): void {
    this.#own(packet, from);
    this.#order.publish(packet, from, done, undefined);
  }

  /** The same for one that is kept: `kept` when that is on the disk, or with the error. */
  deliverKept(
    packet: LivePacket,
    from: AedesClient,
    done: () => void,
    kept: (error: Error | null) => void,
  ): void {
    this.#own(packet, from);
    this.#order.publish(packet, from, done, () => void this.durable(kept));
  }

  /** Once it is kept: there was no room for it among the retained messages. */
  isUnkept({ retain, payload }: LivePacket): boolean {
    return retain && this.#persistence.store.retained.isUnkept(payload);
  }

  #own({ retain, payload }: LivePacket, from: AedesClient): void {
    const { personOf, store } = this.#persistence;
    if (retain) store.retained.ownedBy(payload, personOf?.(from));
  }

  /** Something kept is not on the disk yet. */
  get pending(): boolean {
    return this.#persistence.store.journal.pending;
  }

  async durable(done: (error: Error | null) => void): Promise<void> {
    try {
      await this.#persistence.durable();
    } catch (error) {
      done(error as Error);
      return;
    }
    done(null);
  }
}

/** A packet of its own: nothing in it points into a socket's buffer. */
export function livePacket(
  topic: string,
  payload: Buffer,
  qos: Qos,
  retain: boolean,
  properties: PublishProperties | undefined,
  logStream: StreamId | undefined,
): LivePacket {
  const packet = {
    cmd: 'publish',
    topic,
    payload: Buffer.from(payload),
    qos,
    retain,
    dup: false,
    ...(logStream === undefined ? {} : { logStream }),
  } as const;
  if (properties === undefined) return packet;
  return { ...packet, properties: aedesProperties(properties) };
}

function aedesProperties(properties: PublishProperties): AedesProperties {
  const result: AedesProperties = {};
  if (properties.payloadFormat) result.payloadFormatIndicator = true;
  if (properties.messageExpirySeconds !== undefined) {
    result.messageExpiryInterval = properties.messageExpirySeconds;
  }
  if (properties.contentType !== undefined) result.contentType = properties.contentType;
  if (properties.responseTopic !== undefined) result.responseTopic = properties.responseTopic;
  if (properties.correlationData !== undefined) {
    result.correlationData = Buffer.from(properties.correlationData);
  }
  if (properties.user.length > 0) result.userProperties = groupByName(properties.user);
  return result;
}

/** aedes's form: values by name. Order across names is lost here, and only here. */
function groupByName(user: readonly string[]): Record<string, string | string[]> {
  const groups = Object.create(null) as Record<string, string | string[]>;
  for (let index = 0; index + 1 < user.length; index += 2) {
    const name = user[index] ?? '';
    const value = user[index + 1] ?? '';
    const known = groups[name];
    if (known === undefined) groups[name] = value;
    else if (typeof known === 'string') groups[name] = [known, value];
    else known.push(value);
  }
  return groups;
}

/** The other way round, for wills, which aedes's parser reads. */
export function fromAedesProperties(properties: AedesProperties): PublishProperties {
  const user: string[] = [];
  for (const [name, value] of Object.entries(properties.userProperties ?? {})) {
    for (const each of typeof value === 'string' ? [value] : value) user.push(name, each);
  }
  return {
    payloadFormat: properties.payloadFormatIndicator === true,
    messageExpirySeconds: properties.messageExpiryInterval,
    contentType: properties.contentType,
    responseTopic: properties.responseTopic,
    correlationData: properties.correlationData,
    user,
  };
}
