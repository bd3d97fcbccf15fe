import { gzipSync } from 'node:zlib';

/** The same bytes wherever it is done: the header says neither when nor on which system. */
export function gzipped(text: string): Buffer {
  const bytes = gzipSync(text, { level: 9 });
  bytes.writeUInt32LE(0, 4);
  bytes[9] = 3; // Unix
  return bytes;
}
