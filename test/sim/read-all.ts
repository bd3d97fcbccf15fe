import { must } from '../../src/assert.ts';
import type { LogRecord, StreamId } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';

export interface Logged {
  readonly topic: string;
  readonly partition: number;
  readonly record: LogRecord;
}

export function text(record: LogRecord): string {
  return Buffer.from(record.value ?? []).toString();
}

/** `stream:offset` → record. */
export async function readAll(
  store: Store,
  names: readonly string[],
): Promise<Map<string, Logged>> {
  const places = new Map<StreamId, { topic: string; partition: number }>();
  for (const name of names) {
    for (const [partition, stream] of store.reader.topic(name)?.streams.entries() ?? []) {
      places.set(stream, { topic: name, partition });
    }
  }
  const cursor = store.reader.cursor(new Map([...places.keys()].map((stream) => [stream, 0])));
  const found = new Map<string, Logged>();
  for (;;) {
    const { slices, records } = await cursor.next({ maxRecords: 1000, maxBytes: 1e6 });
    if (records === 0) break;
    for (const { stream, records: own } of slices) {
      const place = must(places.get(stream), 'a stream that was asked for');
      for (const record of own) found.set(`${stream}:${record.offset}`, { ...place, record });
    }
  }
  await cursor.close();
  return found;
}
