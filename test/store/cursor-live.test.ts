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
test('a read that ends while the log grows reports no gap and misses nothing', async () => {
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
  let appended = 0;
  const append = (done: () => void): void => {
    const stream = streams[appended % streams.length];
    if (stream === undefined) return;
    const value = Buffer.from(String(appended++));
    writer.append(stream, 1, null, value, new Uint8Array(0), 'fsync', done);
  };
  // Enough to make a read take longer than a commit, then one commit after the other.
  await new Promise<void>((resolve) => {
    for (let count = 0; count < 20_000; count++) append(() => {});
    append(resolve);
  });
  const end = appended + 300;
  const grows = (): boolean => appended < end;
  const appendNext = (): void => {
    if (grows()) append(appendNext);
  };
  appendNext();

  const gaps: ReadGap[] = [];
  let shortest = Infinity;
  while (grows()) {
    const cursor = reader.cursor(new Map(streams.map((stream) => [stream, 0])));
    const known = appended - 1;
    let records = 0;
    for (;;) {
      const batch = await cursor.next({ maxRecords: 10_000, maxBytes: 10_000_000 });
      gaps.push(...batch.gaps);
      records += batch.records;
      if (batch.records === 0 || records > end) break;
    }
    shortest = Math.min(shortest, records - known);
    await cursor.close();
  }
  await store.close();
  await rm(folder, { recursive: true });
  expect(gaps).toEqual([]);
  expect(shortest).toBeGreaterThanOrEqual(0);
});
