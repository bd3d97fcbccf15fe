import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { ReadGap } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

/**
 * A reader at the end of a log that grows: what becomes durable while a read is under way is not
 * missing, it was only not read yet. Taken for a gap it would be skipped for ever, by the mirror too.
 */
test('a cursor that follows a growing log reports no gap and misses nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gatelog-cursor-live-'));
  const random = seededRandom(1);
  const store = await openStore({ folder, clock: systemClock, random, logger: silentLogger });
  const { reader, writer } = store;
  const { streams } = writer.defineTopic('live', {
    partitions: 3,
    durability: 'fsync',
    retentionMs: undefined,
    retentionBytes: undefined,
  });
  const records = 3000;
  let appended = 0;
  const appendNext = (): void => {
    const stream = streams[appended % streams.length];
    if (stream === undefined || appended >= records) return;
    const value = Buffer.from(String(appended++));
    writer.append(stream, 1, null, value, new Uint8Array(0), 'fsync', appendNext);
  };
  // Several chains, so that commits follow each other without a pause.
  for (let chain = 0; chain < 4; chain++) appendNext();

  const cursor = reader.cursor(new Map(streams.map((stream) => [stream, 0])));
  const gaps: ReadGap[] = [];
  const values: number[] = [];
  while (values.length < records && gaps.length === 0) {
    await cursor.wait(new AbortController().signal);
    const batch = await cursor.next({ maxRecords: 1000, maxBytes: 1_000_000 });
    gaps.push(...batch.gaps);
    for (const slice of batch.slices) {
      for (const { value } of slice.records) values.push(Number(Buffer.from(value ?? '')));
    }
  }
  await cursor.close();
  await store.close();
  await rm(folder, { recursive: true });
  expect(gaps).toEqual([]);
  expect(values.toSorted((one, other) => one - other)).toEqual(
    Array.from({ length: records }, (_, index) => index),
  );
});
