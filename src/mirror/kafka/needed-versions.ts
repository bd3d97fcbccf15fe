import type { Versions } from './links.ts';

/** API key, version and name of what the exactly-once protocol needs. */
const NEEDED = [
  [0, 9, 'Produce'],
  [9, 7, 'OffsetFetch'],
  [10, 3, 'FindCoordinator'],
  [22, 4, 'InitProducerId'],
  [24, 3, 'AddPartitionsToTxn'],
  [25, 3, 'AddOffsetsToTxn'],
  [26, 3, 'EndTxn'],
  [28, 3, 'TxnOffsetCommit'],
] as const;

/** What brokers with these versions lack, for people; undefined: nothing. `where`: as in `kafka-1:9092`. */
export function lackingVersions(versions: Versions, where: string): string | undefined {
  const missing = NEEDED.filter(([key, version]) => {
    const known = versions.get(key);
    return known === undefined || known.min > version || known.max < version;
  });
  if (missing.length === 0) return undefined;
  const names = missing.map(([, version, name]) => `${name} v${version}`).join(', ');
  return `Kafka at ${where} lacks what exactly-once delivery needs (${names}): Apache Kafka 2.8 or later has it; for services without transactions set 'delivery: at-least-once'`;
}
