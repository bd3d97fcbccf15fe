import { RawDevice } from './mqtt-raw.ts';

/** Steps that many tests of the protocol take. */
export interface WantedSubscription {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly nl?: boolean;
  readonly rap?: boolean;
  readonly rh?: 0 | 1 | 2;
}

export interface HeardMessage {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly messageId: number;
  readonly properties: Record<string, unknown>;
}

/** A device of MQTT 5 with a session that outlives its connection. */
export function connectLasting(
  port: number,
  clientId: string,
  properties: Record<string, unknown> = {},
): Promise<RawDevice> {
  const fields = { clientId, clean: false };
  const all = { sessionExpiryInterval: 600, ...properties };
  return RawDevice.connect(port, 5, { ...fields, properties: all });
}

/** Resolves with the codes of SUBACK. */
export async function subscribe(
  device: RawDevice,
  wanted: WantedSubscription,
  subscriptionIdentifier?: number,
): Promise<number[]> {
  return subscribeAll(device, [wanted], subscriptionIdentifier);
}

export async function subscribeAll(
  device: RawDevice,
  wanted: readonly WantedSubscription[],
  subscriptionIdentifier?: number,
): Promise<number[]> {
  const before = device.ids('suback').length;
  const subscriptions = wanted.map((one) => ({ nl: false, rap: false, rh: 0, ...one }));
  const properties = subscriptionIdentifier === undefined ? {} : { subscriptionIdentifier };
  const packet = { cmd: 'subscribe', messageId: 1000 + before, subscriptions, properties };
  device.send(packet as Parameters<RawDevice['send']>[0]);
  await device.until(() => device.ids('suback').length > before);
  return granted(device.last('suback'));
}

export function granted(packet: Record<string, unknown> | undefined): number[] {
  return (packet?.['granted'] ?? []) as number[];
}

export function heard(device: RawDevice): HeardMessage[] {
  return device.packets.flatMap((packet) => {
    if (packet.cmd !== 'publish') return [];
    const { topic, payload, qos, retain, dup, messageId = 0, properties = {} } = packet;
    const text = payload.toString();
    return [{ topic, text, qos, retain, dup, messageId, properties: { ...properties } }];
  });
}

export function payloads(device: RawDevice): string[] {
  return heard(device).map(({ text }) => text);
}

/** From a device of its own, which waits for every acknowledgement. */
export async function publishFrom(
  port: number,
  topic: string,
  texts: readonly string[],
  qos: 0 | 1 | 2 = 1,
  extra: Record<string, unknown> = {},
): Promise<void> {
  const source = await RawDevice.connect(port, 5, { clientId: 'source' });
  for (const [at, text] of texts.entries()) {
    source.send(source.publish(topic, text, qos, at + 1, extra));
  }
  const answered = (): number => source.ids(qos === 1 ? 'puback' : 'pubrec').length;
  if (qos > 0) await source.until(() => answered() === texts.length);
  await source.ping();
  source.close();
}
