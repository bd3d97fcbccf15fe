import { isUtf8 } from 'node:buffer';
import { decodeHeaders } from '../headers.ts';
import type { LogRecord } from '../record.ts';

/**
 * One record as one line of JSON: `topic, partition, offset, timestamp, key, value, headers`, in
 * that order; `time` and `timeClock` follow a timestamp that is not simply what the clock said. Bytes that are not UTF-8 go as base64 under `keyBase64` and `valueBase64`. A null key
 * or value (a tombstone) is null.
 */
export interface RecordJson {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** Only where the clock was not to be trusted: how the timestamp came to be, and what it said. */
  readonly time?: 'corrected' | 'estimated';
  readonly timeClock?: number;
  readonly key?: string | null;
  readonly keyBase64?: string;
  readonly value?: string | null;
  readonly valueBase64?: string;
  /** In order, repeats kept. */
  readonly headers: readonly HeaderJson[];
}

export interface HeaderJson {
  readonly key: string;
  readonly value?: string | null;
  readonly valueBase64?: string;
}

export function recordJson(topic: string, partition: number, record: LogRecord): RecordJson {
  const { offset, timestampMs: timestamp, time, key, value, headers } = record;
  return {
    topic,
    partition,
    offset,
    timestamp,
    ...(time === undefined ? {} : { time: time.trust, timeClock: time.clockMs }),
    ...(isText(key) ? { key: textOf(key) } : { keyBase64: base64Of(key) }),
    ...(isText(value) ? { value: textOf(value) } : { valueBase64: base64Of(value) }),
    headers: decodeHeaders(headers).map((header) => headerJson(header.key, header.value)),
  };
}

function headerJson(key: string, value: Uint8Array | null): HeaderJson {
  return isText(value) ? { key, value: textOf(value) } : { key, valueBase64: base64Of(value) };
}

function isText(bytes: Uint8Array | null): boolean {
  return bytes === null || isUtf8(bytes);
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('utf8');
}

function base64Of(bytes: Uint8Array | null): string {
  return Buffer.from(bytes ?? []).toString('base64');
}
