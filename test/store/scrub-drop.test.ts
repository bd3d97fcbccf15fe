import { expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { ScrubStatus } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { entriesOf, fill, FOREVER, onDisk } from '../support/store-kit.ts';

/** Segments that are given up under the check of the stored log are no damage. */
const SMALL = { segmentBytes: 20_000, gateway: 'g' } as const;
const CAPPED = { ...FOREVER, retentionBytes: 60_000 };

test('all that was there when the check began is given up under it: nothing is found', async () => {
  const clock = new SimClock();
  const engine = memoryEngine(new MemoryDisk());
  const store = await openStore({
    ...SMALL,
    folder: 'memory',
    engine,
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    scrubSchedule: '0 0 1 1 *',
    scrubBytesPerSecond: 1000,
  });
  const topic = store.writer.defineTopic('t', CAPPED);
  await fill(store, topic, 1500, { perCommit: 10, bytes: 2000 });
  const status = (): ScrubStatus => store.counters().scrub;
  await clock.until(() => status().bytesChecked > 0);
  await fill(store, topic, 200, { perCommit: 10 });
  await store.retain();
  expect(store.reader.range(topic.streams[0] as StreamId).startOffset).toBeGreaterThan(700);
  expect(status().state).toBe('running');
  await clock.until(() => status().state === 'idle');
  expect(status()).toMatchObject({ lastFinishedMs: clock.nowMs(), findings: 0 });
  expect((await entriesOf(store)).filter(({ reason }) => reason === 'corruption')).toEqual([]);
  await store.close();
});

test('a check in a loop beside retention in a loop finds nothing', async () => {
  const place = await onDisk.make();
  const store = await place.open({ ...SMALL, clock: systemClock });
  const topic = store.writer.defineTopic('t', CAPPED);
  await fill(store, topic, 500, { perCommit: 10 });
  const loop = { ends: false };
  const findings: number[] = [];
  const checks = (async () => {
    while (!loop.ends) {
      await store.scrub();
      findings.push(store.counters().scrub.findings);
    }
  })();
  for (let round = 0; round < 15; round++) {
    await fill(store, topic, 100, { perCommit: 10 });
    await store.retain();
  }
  loop.ends = true;
  await checks;
  expect(findings.length).toBeGreaterThan(2);
  expect(findings.filter((count) => count > 0)).toEqual([]);
  expect((await entriesOf(store)).filter(({ reason }) => reason === 'corruption')).toEqual([]);
  await store.close();
  await place.remove();
});
