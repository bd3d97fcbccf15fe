import type { LogRecord } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';

/** A topic from its beginning to its end, by partition. */
export async function readAll(store: Store, topic: string): Promise<Map<number, LogRecord[]>> {
  const streams = store.reader.topic(topic)?.streams ?? [];
  const cursor = store.reader.cursor(new Map(streams.map((stream) => [stream, 0])));
  const found = new Map<number, LogRecord[]>(streams.map((_, partition) => [partition, []]));
  for (;;) {
    const { slices, records } = await cursor.next({ maxRecords: 1000, maxBytes: 1e6 });
    if (records === 0) break;
    for (const slice of slices) {
      found.get(streams.indexOf(slice.stream))?.push(...slice.records);
    }
  }
  await cursor.close();
  return found;
}
