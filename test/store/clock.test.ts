import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { LogRecord, StreamId } from '../../src/record.ts';
import type { Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import {
  NOT_YET,
  RIGHT,
  startMachine,
  TestSource,
  type BootOptions,
  type ShiftyMachine,
} from '../support/shifty-clock.ts';
import {
  append,
  appendOnce,
  FOREVER,
  inMemory,
  readAll,
  type Place,
} from '../support/store-kit.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const YEAR = 365 * DAY;
const MAY = Date.UTC(2026, 4, 1);
const IN_1970 = 20_000;
const EARLIEST = LIMITS.clockEarliestMs;

let place: Place;
let machine: ShiftyMachine;
let store: Store;

const boot = async (options: BootOptions): Promise<void> => {
  machine = await startMachine(options);
  const { clock, trust } = machine;
  store = await place.open({ clock, trust, segmentBytes: 30_000, compression: 'none' });
};
/** Asks for the time once: simulated days go by at once. */
const bootIdle = async (options: BootOptions): Promise<void> => {
  await boot(options);
  machine.trust.stop();
};
const shutDown = async (): Promise<void> => {
  await store.close();
  machine.trust.stop();
};
const define = (options: Partial<TopicOptions> = {}): TopicInfo =>
  store.writer.defineTopic('t', { ...FOREVER, partitions: 1, ...options });
/** As ingest does: stamped by the wall clock. */
const publish = (topic: TopicInfo): Promise<number> =>
  append(store, streamOf(topic), { timestampMs: machine.clock.nowMs() });
const streamOf = (topic: TopicInfo): StreamId => topic.streams[0] as StreamId;
const read = async (topic: TopicInfo): Promise<readonly LogRecord[]> =>
  (await readAll(store, topic.streams)).records.get(streamOf(topic)) ?? [];
const times = async (topic: TopicInfo): Promise<unknown[]> =>
  (await read(topic)).map(({ timestampMs, time }) =>
    time === undefined ? [timestampMs] : [timestampMs, time.trust, time.clockMs],
  );

beforeEach(async () => {
  place = await inMemory.make();
});
afterEach(async () => {
  await shutDown();
  await place.remove();
});

describe('times at reading', () => {
  test('records of a boot in 1970 get their true times when the time becomes known', async () => {
    await boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
    const topic = define();
    await publish(topic);
    await machine.clock.advance(5000);
    await publish(topic);
    expect(await times(topic)).toEqual([
      [EARLIEST + 10_000, 'estimated', IN_1970],
      [EARLIEST + 15_000, 'estimated', IN_1970 + 5000],
    ]);
    expect(await store.reader.timestampAt(streamOf(topic), 0)).toBe(EARLIEST + 10_000);

    await machine.clock.advance(5000);
    machine.clock.set(MAY);
    machine.source.answer = RIGHT;
    await publish(topic); // The jump is noticed here, before the daemon is asked.
    await machine.clock.advance(1000);
    await publish(topic);
    expect(machine.trust.status()).toMatchObject({ state: 'trusted', source: 'test daemon' });
    const expected = [
      [MAY - 10_000, 'corrected', IN_1970],
      [MAY - 5000, 'corrected', IN_1970 + 5000],
      [MAY],
      [MAY + 1000],
    ];
    expect(await times(topic)).toEqual(expected);
    expect(await store.reader.timestampAt(streamOf(topic), 0)).toBe(MAY - 10_000);
    expect(await store.reader.offsetAtTime(streamOf(topic), MAY - 7000)).toBe(1);
    expect(await store.reader.offsetAtTime(streamOf(topic), MAY - 20_000)).toBe(0);

    // And they keep them: in later boots too, also when those never learn the time.
    await shutDown();
    await boot({ wallMs: IN_1970 });
    expect(await times(topic)).toEqual(expected);
  });

  test('the clock set right between receipt and commit: the record goes with its commit', async () => {
    await boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
    const topic = define();
    const appended = append(store, streamOf(topic), { timestampMs: machine.clock.nowMs() });
    machine.clock.set(MAY);
    machine.source.answer = RIGHT;
    await appended;
    await machine.clock.advance(1000);
    expect((await read(topic))[0]?.timestampMs).toBe(MAY);
  });

  test('a clock that jumps ahead ten years and back is not followed', async () => {
    await boot({ wallMs: MAY, source: new TestSource({ says: 'synchronised', mark: 'one' }) });
    const topic = define();
    await publish(topic);
    await machine.clock.advance(HOUR);
    machine.clock.set(MAY + HOUR + 10 * YEAR);
    await publish(topic);
    expect(machine.trust.status()).toMatchObject({ state: 'suspect', jumps: 1 });
    expect(machine.trust.nowMs()).toBe(MAY + HOUR);
    await machine.clock.advance(HOUR);
    await publish(topic);
    machine.clock.set(MAY + 2 * HOUR);
    await publish(topic);
    expect(machine.trust.status()).toMatchObject({ state: 'trusted', jumps: 2 });
    expect(await times(topic)).toEqual([
      [MAY],
      [MAY + HOUR, 'corrected', MAY + HOUR + 10 * YEAR],
      [MAY + 2 * HOUR, 'corrected', MAY + 2 * HOUR + 10 * YEAR],
      [MAY + 2 * HOUR],
    ]);
    for (const [time, offset] of [
      [MAY, 0],
      [MAY + 1, 1],
      [MAY + HOUR + 1, 2],
      [MAY + 2 * HOUR + 1, 4],
    ] as const) {
      expect(await store.reader.offsetAtTime(streamOf(topic), time)).toBe(offset);
    }
  });

  test('back an hour: the order is by offset, the times are right', async () => {
    await boot({ wallMs: MAY, source: new TestSource({ says: 'synchronised', mark: 'one' }) });
    const topic = define();
    await publish(topic);
    await machine.clock.advance(1000);
    machine.clock.set(MAY + 1000 - HOUR);
    await publish(topic);
    await machine.clock.advance(1000);
    machine.source.answer = { says: 'synchronised', mark: 'two' }; // So it says: it is that early.
    await machine.clock.advance(1000);
    await publish(topic);
    expect(machine.trust.status()).toMatchObject({ state: 'trusted', jumps: 1 });
    const found = await read(topic);
    expect(found.map(({ offset }) => offset)).toEqual([0, 1, 2]);
    expect(await times(topic)).toEqual([[MAY], [MAY + 1000 - HOUR], [MAY + 3000 - HOUR]]);
  });

  test('a boot that never learned the time lies between its neighbours', async () => {
    await bootIdle({ wallMs: MAY, source: new TestSource(RIGHT) });
    const topic = define();
    await publish(topic);
    await machine.clock.advance(DAY);
    await publish(topic);
    await shutDown();
    await boot({ wallMs: IN_1970, upMs: 5000 });
    await publish(topic);
    await machine.clock.advance(HOUR);
    await publish(topic);
    await shutDown();
    const end = MAY + DAY;
    expect((await (await reopened(), times(topic))).slice(2)).toEqual([
      [end + 5000, 'estimated', IN_1970],
      [end + 5000 + HOUR, 'estimated', IN_1970 + HOUR],
    ]);
    await shutDown();
    // Far ahead: it was before the next boot whose time is known.
    await boot({ wallMs: MAY + 20 * YEAR, upMs: 1000, source: new TestSource(NOT_YET) });
    await publish(topic);
    await shutDown();
    await boot({ wallMs: MAY + 30 * DAY, upMs: 0, source: new TestSource(RIGHT) });
    const [, , , , ahead] = await times(topic);
    expect(ahead).toEqual([MAY + 30 * DAY, 'estimated', MAY + 20 * YEAR]);
  });

  test('where nobody can be asked a possible time is taken as it is', async () => {
    await boot({ wallMs: MAY });
    const topic = define();
    await publish(topic);
    await machine.clock.advance(HOUR);
    machine.clock.set(MAY + HOUR + 500); // A small step.
    await publish(topic);
    await shutDown();
    await boot({ wallMs: MAY - 20 * DAY });
    await publish(topic);
    expect(await times(topic)).toEqual([[MAY], [MAY + HOUR + 500], [MAY - 20 * DAY]]);
    // And from 1970 to a possible one: what came before is told from it, and says so.
    await shutDown();
    await boot({ wallMs: IN_1970 });
    await publish(topic);
    await machine.clock.advance(HOUR);
    machine.clock.set(MAY + YEAR);
    await publish(topic);
    expect((await times(topic)).slice(3)).toEqual([
      [MAY + YEAR - HOUR, 'estimated', IN_1970],
      [MAY + YEAR],
    ]);
  });

  test('times that came with their records are left alone, beside others in one commit', async () => {
    await boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
    const topic = define();
    await Promise.all([
      appendOnce(store, 'edge/1/t/0', 0, streamOf(topic), Buffer.from('its time is 1')),
      publish(topic),
      appendOnce(store, 'edge/1/t/0', 1, streamOf(topic), Buffer.from('its time is 1')),
    ]);
    await appendOnce(store, 'edge/1/t/0', 2, streamOf(topic), Buffer.from('alone'));
    machine.clock.set(MAY);
    machine.source.answer = RIGHT;
    await machine.clock.advance(1000);
    const expected = [[1], [MAY, 'corrected', IN_1970], [1], [1]];
    expect(await times(topic)).toEqual(expected);
    expect(await store.reader.offsetAtTime(streamOf(topic), 2)).toBe(1);
  });

  const reopened = (): Promise<void> => boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
});

test('a read-only look sees the corrected times', async () => {
  await boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
  const topic = define();
  await publish(topic);
  machine.clock.set(MAY);
  machine.source.answer = RIGHT;
  await machine.clock.advance(1000);
  await store.close();
  store = await place.open({ readOnly: true });
  expect(await times(topic)).toEqual([[MAY, 'corrected', IN_1970]]);
});

test('what is known of the boots stands in the log too: a lost state database mixes nothing up', async () => {
  await boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
  const topic = define();
  await publish(topic);
  machine.clock.set(MAY);
  machine.source.answer = RIGHT;
  await machine.clock.advance(1000);
  await store.retain();
  await publish(topic); // Behind a checkpoint.
  await shutDown();
  await boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
  await publish(topic); // Behind none.
  await machine.clock.advance(1000);
  await store.close();
  store = await place.open();
  await store.keyValue('clock').delete('boots');
  await shutDown();

  await boot({ wallMs: MAY + DAY, source: new TestSource(RIGHT) });
  await publish(topic);
  expect(await times(topic)).toEqual([
    [MAY, 'corrected', IN_1970],
    [MAY + 1000],
    [MAY + 11_000, 'estimated', IN_1970],
    [MAY + DAY],
  ]);
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('publish' as const), n: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), n: fc.nat(5 * HOUR) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('given' as const), n: fc.nat(30 * DAY) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('jump' as const), n: fc.nat(20 * DAY) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('1970' as const), n: fc.nat(HOUR) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('right' as const), n: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('boot' as const), n: fc.nat(3 * DAY) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const), n: fc.constant(0) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('checkpoint' as const), n: fc.constant(0) }),
  },
);

/** Retention looks at it, and so asks for checkpoints; it removes nothing. */
const TIDY = { retentionBytes: 1e12 };

test('whatever clocks did, a search by time finds the first record at or after it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      fc.array(fc.nat(40 * DAY), { minLength: 4, maxLength: 4 }),
      async (steps, searches) => {
        await place.remove();
        place = await inMemory.make();
        let marks = 0;
        await bootIdle({ wallMs: MAY, source: new TestSource(NOT_YET) });
        let topic = define(TIDY);
        for (const { do: what, n } of steps) {
          const { clock, trust, source } = machine;
          if (what === 'publish') for (let count = 0; count <= n; count++) await publish(topic);
          else if (what === 'wait') await clock.advance(n);
          else if (what === 'given') {
            await appendOnce(store, 'p', marks++, streamOf(topic), Buffer.from(''), MAY + n);
          } else if (what === 'jump') clock.set(MAY + n);
          else if (what === '1970') clock.set(n);
          else if (what === 'right') {
            source.answer = { says: 'synchronised', mark: String(marks++) };
            await trust.start();
            trust.stop();
          } else if (what === 'checkpoint') await store.retain();
          else {
            const wallMs = what === 'boot' ? n * 1000 : clock.nowMs();
            const id = what === 'boot' ? undefined : { id: machine.id };
            const upMs = trust.read().monoMs;
            await store.close();
            const next = what === 'boot' ? { wallMs } : { wallMs, upMs, ...id };
            await bootIdle({ ...next, source: new TestSource(NOT_YET) });
            topic = define(TIDY);
          }
        }
        const records = await read(topic);
        const wanted = [
          ...searches.map((ms) => MAY + ms),
          ...records.map((one) => one.timestampMs),
        ];
        for (const time of [0, ...wanted.slice(0, 20)]) {
          const expected = records.find(({ timestampMs }) => timestampMs >= time)?.offset;
          expect(await store.reader.offsetAtTime(streamOf(topic), time)).toBe(
            expected ?? records.length,
          );
        }
        await store.close();
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);
