/**
 * The identity of a record for the rest of its life: which gateway, which life of its data folder,
 * which topic, partition and offset. It travels as one header (Kafka) or user property (MQTT 5)
 * in the text form `gateway/incarnation/topic/partition/offset`, which no part may break: ids and
 * topic names hold no slash. Auditors and central agents know records by it.
 */
export const IDENTITY_HEADER = 'gatelog.id';

/**
 * User property of a PUBACK (MQTT 5) by which a central gatelog says that a record was a repeat: the
 * last offset that it has of the same gateway, incarnation, topic and partition. Old centrals never
 * say it, and 3.1.1 has no properties.
 */
export const LAST_PROPERTY = 'gatelog.last';

export interface RecordIdentity {
  readonly gateway: string;
  readonly incarnation: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** Everything but the offset, with the slash before it: constant per partition. */
export function identityPrefix(identity: Omit<RecordIdentity, 'offset'>): string {
  const { gateway, incarnation, topic, partition } = identity;
  return `${gateway}/${incarnation}/${topic}/${partition}/`;
}

export function formatIdentity(identity: RecordIdentity): string {
  return identityPrefix(identity) + String(identity.offset);
}

const FORM = /^([^/]+)\/([^/]+)\/([^/]+)\/(\d+)\/(\d+)$/u;

/** undefined when the text is no identity. */
export function parseIdentity(text: string): RecordIdentity | undefined {
  const parts = FORM.exec(text);
  if (parts === null) return undefined;
  const [, gateway = '', incarnation = '', topic = ''] = parts;
  return { gateway, incarnation, topic, partition: Number(parts[4]), offset: Number(parts[5]) };
}
