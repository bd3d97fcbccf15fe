import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import { openStore } from '../../src/store/open.ts';
import { quotaEngine } from '../../src/store/quota-engine.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { append, FOREVER, readAll } from '../support/store-kit.ts';

test('at the quota appends are refused, with more of it they are taken again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gatelog-quota-'));
  let quota = 4_000_000;
  const parts = { folder, clock: systemClock, random: seededRandom(1), logger: silentLogger };
  try {
    const engine = quotaEngine(folder, () => quota);
    const store = await openStore({ ...parts, engine, compression: 'none' });
    const { streams } = store.writer.defineTopic('t', {
      ...FOREVER,
      partitions: 1,
      onFull: 'refuse',
    });
    const stream = streams[0] as StreamId;
    // Nothing of it was read, so nothing of it may be given up.
    const reader = await store.positions('mirror', { pins: true });
    await reader.advance(new Map([[stream, 0]]));
    const value = Buffer.alloc(100_000, 1);
    let stored = 0;
    await expect(async () => {
      for (; stored < 1000; stored++) await append(store, stream, { value });
    }).rejects.toMatchObject({ code: 'STORE_FULL' });
    expect(stored).toBeGreaterThan(5);
    expect(stored).toBeLessThan(45);
    quota = 400_000_000;
    await expect.poll(() => append(store, stream, { value }).catch(() => -1)).toBeGreaterThan(0);
    const { records, gaps } = await readAll(store, streams);
    expect(gaps).toEqual([]);
    expect(records.get(stream)?.length).toBeGreaterThan(stored);
    await store.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
