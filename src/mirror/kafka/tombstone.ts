import { decodeHeaders } from '../../headers.ts';
import type { LogRecord } from '../../record.ts';

/**
 * A device clears a retained message by an empty one with the retain flag (MQTT 5, section 3.3.1.3).
 * In a compacted topic that is a record without a value. One without a key stays as it is: such
 * topics take none.
 */
export function asTombstone(record: LogRecord): LogRecord {
  if (record.key === null || record.value?.length !== 0) return record;
  const retain = decodeHeaders(record.headers).find(({ key }) => key === 'mqtt.retain')?.value;
  const isCleared = retain !== undefined && Buffer.from(retain ?? []).toString() === '1';
  if (!isCleared) return record;
  // Named one by one: the log's records have getters, which a spread leaves out.
  const { offset, timestampMs, key, headers, time } = record;
  return {
    offset,
    timestampMs,
    key,
    value: null,
    headers,
    ...(time === undefined ? {} : { time }),
  };
}
