import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WearBudget } from '../../src/agent/wear-budget.ts';
import { WearMeter } from '../../src/agent/wear-meter.ts';
import { LIMITS } from '../../src/limits.ts';
import type { StreamId } from '../../src/record.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { faultyEngine, noFaults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, FOREVER, inMemory, onDisk } from '../support/store-kit.ts';

/** What a commit takes of a card, as measured on ext4: docs/flash.md. */
const COMMIT_BYTES = 18_600;
const MAX_MS = 1000;

interface Outcome {
  readonly commits: number;
  readonly lingerMs: number;
}

/**
 * A real store under a steady load in simulated time, with the meter at its side; the "card" is
 * told of every commit, and the day is nearly used up.
 */
async function underLoad(budgetBytesPerDay: number | undefined, seconds: number): Promise<Outcome> {
  const clock = new SimClock();
  const place = await onDisk.make();
  const budget =
    budgetBytesPerDay === undefined
      ? undefined
      : new WearBudget({ budgetBytesPerDay, lingerMs: 0, maxLingerMs: MAX_MS });
  budget?.restore(0.5);
  const lingerMs = (): number => budget?.lingerMs() ?? 0;
  const store = await place.open({ clock, lingerMs });
  const { streams } = store.writer.defineTopic('telemetry', FOREVER);
  const meter = await WearMeter.start({
    source: {
      device: { volume: 'card', disk: 'card' },
      bootId: 'boot',
      read: async () => {
        const bytes = store.counters().commits * COMMIT_BYTES;
        return { processBytes: bytes, volumeBytes: bytes, diskBytes: bytes };
      },
    },
    space: store.keyValue('wear'),
    counters: () => store.counters(),
    budget,
    lingerMs,
    budgetBytes: budgetBytesPerDay,
    ratingBytes: undefined,
    clock,
    logger: silentLogger,
  });
  const before = store.counters().commits;
  for (let ms = 0; ms < seconds * 1000; ms += 100) {
    const answered = append(store, streams[0] as StreamId, { value: Buffer.from('21.5') });
    await clock.advance(100);
    // The disk is real and its time is not: without a wait a commit ends before the next begins.
    if (lingerMs() === 0) await answered;
  }
  await meter.stop();
  const outcome = {
    commits: store.counters().commits - before,
    lingerMs: lingerMs(),
  };
  await store.close();
  await place.remove();
  return outcome;
}

test('under a budget a steady load is written in far fewer commits', async () => {
  const free = await underLoad(undefined, 60);
  // Each of 10 messages a second a commit of its own: 16 GB a day.
  expect(free.commits).toBeGreaterThanOrEqual(590);
  const held = await underLoad(LIMITS.wearBudgetBytesMin, 60);
  expect(held.commits).toBeLessThan(free.commits / 2);
  expect(held.lingerMs).toBeGreaterThan(100);
});

test('a wait is over after the longest allowed, whatever the disk is doing meanwhile', async () => {
  const clock = new SimClock();
  const faults = noFaults();
  const engine = faultyEngine(memoryEngine(new MemoryDisk()), faults);
  const place = await inMemory.make();
  let lingerMs = 0;
  const store = await place.open({ clock, engine, lingerMs: () => lingerMs });
  const { streams } = store.writer.defineTopic('telemetry', FOREVER);
  await append(store, streams[0] as StreamId);
  await append(store, streams[0] as StreamId);
  lingerMs = MAX_MS;

  // A commit that takes 700 ms; what comes during it waits 300 ms more, not 1000.
  const slow = Promise.withResolvers<void>();
  faults.hold = slow.promise;
  const first = append(store, streams[0] as StreamId);
  await clock.advance(MAX_MS);
  const { puts } = faults.counts;
  await clock.advance(50);
  const second = append(store, streams[0] as StreamId);
  await clock.advance(700);
  faults.hold = undefined;
  slow.resolve();
  await first;
  await clock.advance(299);
  expect(faults.counts.puts).toBe(puts);
  await clock.advance(1);
  await second;
  expect(faults.counts.puts).toBe(puts + 1);
  await store.close();
});

test('a full batch is written at once, and so is everything on closing', async () => {
  const clock = new SimClock();
  const place = await inMemory.make();
  const store = await place.open({ clock, lingerMs: () => MAX_MS });
  const { streams } = store.writer.defineTopic('telemetry', FOREVER);
  const stream = streams[0] as StreamId;
  const all = Array.from({ length: LIMITS.commitRecords + 1 }, () => append(store, stream));
  await Promise.all(all.slice(0, LIMITS.commitRecords));
  expect(clock.monotonicMs()).toBe(0);
  await store.close();
  expect(await all.at(-1)).toBe(LIMITS.commitRecords);
  expect(clock.monotonicMs()).toBe(0);
});

test('any load under any changing wait: no acknowledgement comes later than the longest', async () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 400 }),
    records: fc.integer({ min: 0, max: 5 }),
    lingerMs: fc.integer({ min: 0, max: MAX_MS }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const clock = new SimClock();
      const place = await inMemory.make();
      let lingerMs = 0;
      const store = await place.open({ clock, lingerMs: () => lingerMs });
      const { streams } = store.writer.defineTopic('telemetry', FOREVER);
      const waits: Promise<number>[] = [];
      for (const { afterMs, records, lingerMs: next } of steps) {
        await clock.advance(afterMs);
        lingerMs = next;
        for (let index = 0; index < records; index++) {
          const sentMs = clock.monotonicMs();
          waits.push(
            append(store, streams[index % 2] as StreamId).then(() => clock.monotonicMs() - sentMs),
          );
        }
      }
      await clock.advance(MAX_MS);
      const longest = await clock.settled(Promise.all(waits));
      expect(Math.max(0, ...longest)).toBeLessThanOrEqual(MAX_MS);
      await store.close();
    }),
    { numRuns: 60 },
  );
});
