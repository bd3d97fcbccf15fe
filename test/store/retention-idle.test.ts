import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { StreamId } from '../../src/record.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import type { Store } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, fill, FOREVER, onDisk, type Place } from '../support/store-kit.ts';

const MINUTE = 60_000;
const KEPT_MINUTES = 15;

let place: Place;
let clock: SimClock;
let store: Store;
/** Segments opened so far. */
let opened = 0;

async function open(): Promise<void> {
  const engine = levelEngine(place.folder, false, { logger: silentLogger, clock });
  const inner = engine.openSegment.bind(engine);
  engine.openSegment = (...given) => {
    opened++;
    return inner(...given);
  };
  store = await place.open({ clock, segmentBytes: 60_000, compression: 'none', engine });
}

/** By each of so many runs of retention, a minute apart. */
async function openedBy(runs: number, before: () => Promise<void> = async () => {}) {
  const found: number[] = [];
  for (let run = 0; run < runs; run++) {
    await clock.advance(MINUTE);
    await before();
    opened = 0;
    await store.retain();
    found.push(opened);
  }
  return found;
}

beforeEach(async () => {
  place = await onDisk.make();
  clock = new SimClock();
  await open();
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

test('with more segments than are known by heart, a run opens those in which it has to do', async () => {
  for (let at = 0; at < 4; at++) {
    const many = { ...FOREVER, partitions: 1024, retentionMs: 1e12 };
    const { streams } = store.writer.defineTopic(`many${at}`, many);
    await append(store, streams[0] as StreamId);
  }
  const kept = store.writer.defineTopic('kept', { ...FOREVER, partitions: 1 });
  const retentionMs = KEPT_MINUTES * MINUTE;
  const timed = store.writer.defineTopic('timed', { ...FOREVER, partitions: 1, retentionMs });
  const write = async (): Promise<void> => {
    await fill(store, kept, 1, { timeMs: clock.nowMs() });
    await fill(store, timed, 60, { bytes: 1000, perCommit: 2, timeMs: clock.nowMs() });
  };
  for (let minute = 0; minute < KEPT_MINUTES * 2; minute++) {
    await clock.advance(MINUTE);
    await write();
  }
  const { segments } = store.counters();
  expect(segments * 4096).toBeGreaterThan(LIMITS.keptCheckpointStreams * 1.2);
  await store.retain();
  expect(store.reader.range(timed.streams[0] as StreamId).startOffset).toBeGreaterThan(0);
  // Each run moves a start, and looks no further; the first one finds where that stands now.
  const [, ...busy] = await openedBy(5, write);
  expect(Math.max(...busy)).toBeLessThanOrEqual(4);
  expect(store.reader.range(timed.streams[0] as StreamId).startOffset).toBeGreaterThan(60 * 15);
  // Nothing is left to be cut.
  await openedBy(KEPT_MINUTES + 2);
  expect(await openedBy(5)).toEqual([0, 0, 0, 0, 0]);
  await store.close();
  await open();
  await store.retain();
  expect(await openedBy(5)).toEqual([0, 0, 0, 0, 0]);
});
