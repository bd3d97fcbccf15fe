/**
 * Kafka's murmur2 (32 bit, seed 0x9747b28c), as in
 * org.apache.kafka.common.utils.Utils.murmur2, so that a key lands in the partition that Kafka's
 * own default partitioner would choose.
 */
export function murmur2(data: Uint8Array): number {
  const length = data.length;
  let hash = 0x9747b28c ^ length;
  const end = length & ~3;
  for (let at = 0; at < end; at += 4) {
    const word =
      (data[at] as number) |
      ((data[at + 1] as number) << 8) |
      ((data[at + 2] as number) << 16) |
      ((data[at + 3] as number) << 24);
    let mixed = Math.imul(word, 0x5bd1e995);
    mixed ^= mixed >>> 24;
    mixed = Math.imul(mixed, 0x5bd1e995);
    hash = Math.imul(hash, 0x5bd1e995) ^ mixed;
  }
  const rest = length & 3;
  if (rest === 3) hash ^= (data[end + 2] as number) << 16;
  if (rest >= 2) hash ^= (data[end + 1] as number) << 8;
  if (rest >= 1) {
    hash ^= data[end] as number;
    hash = Math.imul(hash, 0x5bd1e995);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0x5bd1e995);
  hash ^= hash >>> 15;
  return hash | 0;
}

/** `toPositive(murmur2(key)) % partitions`, Kafka's rule for a record with a key. */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions;
}
