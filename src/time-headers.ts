import type { Header } from './headers.ts';
import type { TimeNote } from './record.ts';

/**
 * What records say of their time on the way up, as headers (Kafka) or user properties (MQTT 5), and
 * only those whose timestamp is not simply what a sound clock said:
 * - `gatelog.time`: `corrected` or `estimated`, see TimeNote;
 * - `gatelog.time.clock`: what the gateway's clock said, in ms since 1970, with either;
 * - `gatelog.time.original`: the timestamp before the far side's bounds were kept, in ms.
 */
export const TIME_HEADER = 'gatelog.time';
export const TIME_CLOCK_HEADER = 'gatelog.time.clock';
export const TIME_ORIGINAL_HEADER = 'gatelog.time.original';

/** `originalMs` undefined: the timestamp goes as it is. */
export function timeHeaders(note: TimeNote | undefined, originalMs?: number): Header[] {
  const headers: Header[] = [];
  if (note !== undefined) {
    headers.push(
      { key: TIME_HEADER, value: Buffer.from(note.trust) },
      { key: TIME_CLOCK_HEADER, value: Buffer.from(String(note.clockMs)) },
    );
  }
  if (originalMs !== undefined) {
    headers.push({ key: TIME_ORIGINAL_HEADER, value: Buffer.from(String(originalMs)) });
  }
  return headers;
}

export function isTimeHeader(name: string): boolean {
  return name === TIME_HEADER || name === TIME_CLOCK_HEADER || name === TIME_ORIGINAL_HEADER;
}
