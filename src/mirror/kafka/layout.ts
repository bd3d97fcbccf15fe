import { GatelogError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { partitionOfKey } from '../../murmur2.ts';

/** Which central topic and partition a record goes to. Pure. */

const LEGAL_NAME = /^[a-zA-Z0-9._-]+$/u;

/** The central topic's name. Throws UPSTREAM_REJECTED when Kafka would not take such a name. */
export function centralTopicName(template: string, topic: string, gateway: string): string {
  const name = template.replaceAll('{topic}', topic).replaceAll('{gateway}', gateway);
  if (
    !LEGAL_NAME.test(name) ||
    name.length > LIMITS.topicNameBytes ||
    name === '.' ||
    name === '..'
  ) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `The topic template '${template}' makes '${name}' of topic '${topic}', which Kafka does not allow as a name: letters, digits, '.', '_' and '-', at most ${LIMITS.topicNameBytes} characters`,
    );
  }
  return name;
}

/**
 * Kafka's own rule for records with a key, so that consumers who compute it find the record. A
 * record without a key stays with its edge partition, which keeps the order it has.
 */
export function centralPartition(
  key: Uint8Array | null,
  edgePartition: number,
  centralPartitions: number,
): number {
  return key === null ? edgePartition % centralPartitions : partitionOfKey(key, centralPartitions);
}
