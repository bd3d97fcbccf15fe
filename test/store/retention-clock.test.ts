import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import {
  RIGHT,
  startMachine,
  TestSource,
  type BootOptions,
  type ShiftyMachine,
} from '../support/shifty-clock.ts';
import { append, fill, FOREVER, inMemory, type Place } from '../support/store-kit.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const YEAR = 365 * DAY;
const MAY = Date.UTC(2026, 4, 1);
const IN_1970 = 20_000;

let place: Place;
let machine: ShiftyMachine;
let store: Store;

/** Asks for the time once: simulated days go by at once. */
const bootIdle = async (options: BootOptions): Promise<void> => {
  machine = await startMachine(options);
  const { clock, trust } = machine;
  trust.stop();
  store = await place.open({ clock, trust, segmentBytes: 30_000, compression: 'none' });
};
const shutDown = (): Promise<void> => store.close();
const define = (retentionMs: number): TopicInfo =>
  store.writer.defineTopic('t', { ...FOREVER, partitions: 1, retentionMs });
const streamOf = (topic: TopicInfo): StreamId => topic.streams[0] as StreamId;
const publish = (topic: TopicInfo): Promise<number> =>
  append(store, streamOf(topic), { timestampMs: machine.clock.nowMs() });
const startOf = (topic: TopicInfo): number => store.reader.range(streamOf(topic)).startOffset;

beforeEach(async () => {
  place = await inMemory.make();
});
afterEach(async () => {
  await shutDown();
  await place.remove();
});

describe('retention by time', () => {
  const keep = (): TopicInfo => define(7 * DAY);
  /** Retention cuts at checkpoints; it asks for one, which the next commit makes. */
  const retain = async (topic: TopicInfo): Promise<void> => {
    await store.retain();
    await publish(topic);
    await store.retain();
  };

  test('a clock that jumps ahead years deletes nothing early', async () => {
    await bootIdle({ wallMs: MAY, source: new TestSource({ says: 'synchronised', mark: 'one' }) });
    const topic = keep();
    await fill(store, topic, 500, { timeMs: MAY });
    machine.clock.set(MAY + 10 * YEAR);
    await retain(topic);
    await machine.clock.advance(6 * DAY);
    await retain(topic);
    expect(startOf(topic)).toBe(0);
    await machine.clock.advance(DAY + HOUR);
    await retain(topic);
    expect(startOf(topic)).toBeGreaterThanOrEqual(500);
  });

  test('one that jumps back keeps nothing for ever', async () => {
    await bootIdle({ wallMs: MAY + 10 * YEAR });
    const topic = keep();
    await fill(store, topic, 500, { timeMs: MAY + 10 * YEAR });
    machine.clock.set(MAY);
    await retain(topic);
    await machine.clock.advance(7 * DAY + HOUR);
    await retain(topic);
    expect(startOf(topic)).toBeGreaterThanOrEqual(500);
  });

  test('a boot in 1970 and one in 2036 count only for as long as they last', async () => {
    await bootIdle({ wallMs: MAY, source: new TestSource(RIGHT) });
    const topic = keep();
    await fill(store, topic, 500, { timeMs: MAY });
    await machine.clock.advance(DAY);
    await shutDown();
    for (const wallMs of [IN_1970, MAY + 10 * YEAR, IN_1970]) {
      await bootIdle({ wallMs });
      await machine.clock.advance(DAY);
      await retain(topic);
      expect(startOf(topic)).toBe(0);
      await shutDown();
    }
    // Known again, and only a day later than those boots lasted: still not a week.
    await bootIdle({ wallMs: MAY + 5 * DAY, source: new TestSource(RIGHT) });
    await retain(topic);
    expect(startOf(topic)).toBe(0);
    await shutDown();
    // Two weeks off, and known: that counts, though no clock of ours ran.
    await bootIdle({ wallMs: MAY + 19 * DAY, source: new TestSource(RIGHT) });
    await retain(topic);
    expect(startOf(topic)).toBeGreaterThanOrEqual(500);
  });
});
