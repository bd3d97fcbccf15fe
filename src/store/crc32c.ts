/** Castagnoli's polynomial, as LevelDB has it (Node's zlib has only the other one). */
const POLYNOMIAL = 0x82f63b78;
/** Bytes taken in one step. */
const STEP = 4;
const BYTES = 256;

/** For each byte of a step: what it does to the sum, the steps after it included. */
const TABLES: Int32Array = tables();

function tables(): Int32Array {
  const all = new Int32Array(STEP * BYTES);
  for (let byte = 0; byte < BYTES; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++)
      value = (value & 1) === 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    all[byte] = value;
  }
  for (let at = BYTES; at < all.length; at++) {
    const before = all[at - BYTES] ?? 0;
    all[at] = (before >>> 8) ^ (all[before & 0xff] ?? 0);
  }
  return all;
}

/** Of bytes that follow others: `before` is the sum of those. 100 to 400 MB/s. */
export function crc32c(bytes: Uint8Array, before: number = 0): number {
  const table = TABLES;
  let sum = ~before;
  let at = 0;
  for (const end = bytes.length - STEP; at <= end; at += STEP) {
    sum ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    sum =
      (table[768 + (sum & 0xff)] as number) ^
      (table[512 + ((sum >>> 8) & 0xff)] as number) ^
      (table[256 + ((sum >>> 16) & 0xff)] as number) ^
      (table[sum >>> 24] as number);
  }
  for (; at < bytes.length; at++) {
    sum = (sum >>> 8) ^ (table[(sum ^ (bytes[at] as number)) & 0xff] as number);
  }
  return ~sum >>> 0;
}

/** LevelDB's checksum of a checksum, so that a text that holds checksums is no special case. */
export function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
