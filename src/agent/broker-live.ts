import type { AedesClient, AedesInner, AedesProperties, LivePacket } from './broker-aedes.ts';
import type { Subscriptions } from './broker-subscriptions.ts';
import type { TopicEntry } from './ingest-topics.ts';
import type { PublishProperties, Qos } from './publication.ts';

/** Live delivery: from the gate to subscribers and retained messages, by aedes. */
export class LiveDelivery {
  readonly #inner: AedesInner;
  readonly #subscriptions: Subscriptions;

  constructor(inner: AedesInner, subscriptions: Subscriptions) {
    this.#inner = inner;
    this.#subscriptions = subscriptions;
  }

  /** Whether anybody wants the message, now or (retained) later. */
  wanted(entry: TopicEntry, retain: boolean): boolean {
    return retain || !this.#subscriptions.quiet(entry);
  }

  /** `done` when aedes has handed it to every subscriber's connection. */
  deliver(packet: LivePacket, from: AedesClient, done: () => void): void {
    this.#inner.publish(packet, from, done);
  }
}

/** A packet of its own: nothing in it points into a socket's buffer. */
export function livePacket(
  topic: string,
  payload: Buffer,
  qos: Qos,
  retain: boolean,
  properties: PublishProperties | undefined,
): LivePacket {
  const packet = {
    cmd: 'publish',
    topic,
    payload: Buffer.from(payload),
    qos,
    retain,
    dup: false,
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
