import { decodeHeaders } from './headers.ts';
import type { LogRecord } from './record.ts';

/**
 * The Message Expiry Interval that a device gave (MQTT 5, section 3.3.2.3.3), in seconds as decimal text:
 * the record is of no use that long after its timestamp.
 */
export const EXPIRY_HEADER = 'mqtt.message-expiry';

const NAME = Buffer.from(EXPIRY_HEADER);
/** The first byte of three headers: what every record of a device has (record-headers.ts), and most no more. */
const THREE_HEADERS = 6;
const SECONDS = /^\d{1,10}$/u;

/**
 * Wall clock in ms; undefined: never, or nobody knows when, because the record's own time is only
 * estimated. Most records have no such header, and that is seen without decoding any.
 */
export function expiresAtMs({ headers, time, timestampMs }: LogRecord): number | undefined {
  if ((headers[0] ?? 0) <= THREE_HEADERS || time?.trust === 'estimated') return undefined;
  const bytes = Buffer.from(headers.buffer, headers.byteOffset, headers.byteLength);
  if (!bytes.includes(NAME)) return undefined;
  const found = decodeHeaders(headers).find(({ key }) => key === EXPIRY_HEADER);
  const seconds = Buffer.from(found?.value ?? []).toString('latin1');
  return SECONDS.test(seconds) ? timestampMs + Number(seconds) * 1000 : undefined;
}
