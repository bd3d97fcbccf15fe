import { decodeHeaders } from '../../../src/headers.ts';
import type { LogRecord } from '../../../src/record.ts';
import { systemRandom } from '../../../src/random.ts';
import type { Store, TopicInfo } from '../../../src/store/log.ts';
import { openStore } from '../../../src/store/open.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import type { LogOracle, ReadRange, ReadRecord } from './log-oracle.ts';

/** What a reading is given to: the log's oracle, or something beside it. */
export type ReadingTaker = Pick<LogOracle, 'record' | 'gap' | 'ranges'>;

/**
 * Opens a folder that no agent holds: as the agent itself would, or only to look, which must show
 * the same records without mending anything.
 */
export async function openFolder(folder: string, readOnly = false): Promise<Store> {
  const parts = { clock: systemClock, random: systemRandom, logger: silentLogger };
  return openStore({ folder, ...parts, readOnly });
}

export function toReadRecord(topic: string, partition: number, record: LogRecord): ReadRecord {
  return {
    topic,
    partition,
    offset: record.offset,
    key: record.key === null ? '' : Buffer.from(record.key).toString('utf8'),
    value: record.value ?? new Uint8Array(0),
    headers: decodeHeaders(record.headers).map(({ key, value }) => [
      key,
      value === null ? '' : Buffer.from(value).toString('utf8'),
    ]),
  };
}

/** Topics of the product's own (`_quarantine`) are none of the devices'. */
function deviceTopics(store: Store): readonly TopicInfo[] {
  return store.reader.topics().filter(({ name }) => !name.startsWith('_'));
}

export function rangesOf(store: Store): readonly ReadRange[] {
  return deviceTopics(store).flatMap((topic) =>
    topic.streams.map((stream, partition) => {
      const range = store.reader.range(stream);
      return { topic: topic.name, partition, start: range.startOffset, end: range.endOffset };
    }),
  );
}

export interface ReadFolderOptions {
  /** First offset wanted of a partition. */
  readonly from: (topic: string, partition: number) => number;
  readonly readOnly: boolean;
  /** Runs retention after the reading. */
  readonly retain: boolean;
}

/** Gives the oracle what a folder holds and what the log says of its ranges. */
export async function readFolder(
  folder: string,
  oracle: ReadingTaker,
  options: ReadFolderOptions,
): Promise<void> {
  const store = await openFolder(folder, options.readOnly);
  try {
    await readStore(store, oracle, options.from);
    if (options.retain) await store.retain();
  } finally {
    await store.close();
  }
}

/** Returns the number of records read. */
export async function readStore(
  store: Store,
  oracle: ReadingTaker,
  fromOffset: (topic: string, partition: number) => number,
): Promise<number> {
  const places = new Map(
    deviceTopics(store).flatMap((topic) =>
      topic.streams.map((stream, partition) => [stream, { topic: topic.name, partition }] as const),
    ),
  );
  const from = new Map(
    [...places].map(([stream, { topic, partition }]) => {
      const { startOffset } = store.reader.range(stream);
      return [stream, Math.max(startOffset, fromOffset(topic, partition))] as const;
    }),
  );
  const cursor = store.reader.cursor(from);
  let records = 0;
  for (;;) {
    const batch = await cursor.next({ maxRecords: 5000, maxBytes: 4_194_304 });
    for (const gap of batch.gaps) oracle.gap(gap, places.get(gap.stream));
    if (batch.records === 0 && batch.gaps.length === 0) break;
    for (const slice of batch.slices) {
      const place = places.get(slice.stream);
      if (place === undefined) throw new Error(`slice of an unknown stream ${slice.stream}`);
      for (const record of slice.records) {
        oracle.record(toReadRecord(place.topic, place.partition, record));
      }
      records += slice.records.length;
    }
  }
  await cursor.close();
  oracle.ranges(rangesOf(store));
  return records;
}
