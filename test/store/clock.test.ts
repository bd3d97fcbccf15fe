import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { TopicInfo } from '../../src/store/log.ts';
import { DAY, HOUR, IN_1970, MachineRig, MAY, streamOf, YEAR } from '../support/machine-rig.ts';
import { NOT_YET, RIGHT, TestSource } from '../support/shifty-clock.ts';
import { append, appendOnce } from '../support/store-kit.ts';

const EARLIEST = LIMITS.clockEarliestMs;

const rig = MachineRig.forEachTest();
const times = async (topic: TopicInfo): Promise<unknown[]> =>
  (await rig.read(topic)).map(({ timestampMs, time }) =>
    time === undefined ? [timestampMs] : [timestampMs, time.trust, time.clockMs],
  );

describe('times at reading', () => {
  test('records of a boot in 1970 get their true times when the time becomes known', async () => {
    await rig.boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
    const topic = rig.define();
    await rig.publish(topic);
    await rig.machine.clock.advance(5000);
    await rig.publish(topic);
    expect(await times(topic)).toEqual([
      [EARLIEST + 10_000, 'estimated', IN_1970],
      [EARLIEST + 15_000, 'estimated', IN_1970 + 5000],
    ]);
    expect(await rig.store.reader.timestampAt(streamOf(topic), 0)).toBe(EARLIEST + 10_000);

    await rig.machine.clock.advance(5000);
    rig.machine.clock.set(MAY);
    rig.machine.source.answer = RIGHT;
    await rig.publish(topic); // The jump is noticed here, before the daemon is asked.
    await rig.machine.clock.advance(1000);
    await rig.publish(topic);
    expect(rig.machine.trust.status()).toMatchObject({ state: 'trusted', source: 'test daemon' });
    const expected = [
      [MAY - 10_000, 'corrected', IN_1970],
      [MAY - 5000, 'corrected', IN_1970 + 5000],
      [MAY],
      [MAY + 1000],
    ];
    expect(await times(topic)).toEqual(expected);
    expect(await rig.store.reader.timestampAt(streamOf(topic), 0)).toBe(MAY - 10_000);
    expect(await rig.store.reader.offsetAtTime(streamOf(topic), MAY - 7000)).toBe(1);
    expect(await rig.store.reader.offsetAtTime(streamOf(topic), MAY - 20_000)).toBe(0);

    // And they keep them: in later boots too, also when those never learn the time.
    await rig.shutDown();
    await rig.boot({ wallMs: IN_1970 });
    expect(await times(topic)).toEqual(expected);
  });

  test('the clock set right between receipt and commit: the record goes with its commit', async () => {
    await rig.boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
    const topic = rig.define();
    const appended = append(rig.store, streamOf(topic), { timestampMs: rig.machine.clock.nowMs() });
    rig.machine.clock.set(MAY);
    rig.machine.source.answer = RIGHT;
    await appended;
    await rig.machine.clock.advance(1000);
    expect((await rig.read(topic))[0]?.timestampMs).toBe(MAY);
  });

  test('a clock that jumps ahead ten years and back is not followed', async () => {
    await rig.boot({ wallMs: MAY, source: new TestSource({ says: 'synchronised', mark: 'one' }) });
    const topic = rig.define();
    await rig.publish(topic);
    await rig.machine.clock.advance(HOUR);
    rig.machine.clock.set(MAY + HOUR + 10 * YEAR);
    await rig.publish(topic);
    expect(rig.machine.trust.status()).toMatchObject({ state: 'suspect', jumps: 1 });
    expect(rig.machine.trust.nowMs()).toBe(MAY + HOUR);
    await rig.machine.clock.advance(HOUR);
    await rig.publish(topic);
    rig.machine.clock.set(MAY + 2 * HOUR);
    await rig.publish(topic);
    expect(rig.machine.trust.status()).toMatchObject({ state: 'trusted', jumps: 2 });
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
      expect(await rig.store.reader.offsetAtTime(streamOf(topic), time)).toBe(offset);
    }
  });

  test('back an hour: the order is by offset, the times are right', async () => {
    await rig.boot({ wallMs: MAY, source: new TestSource({ says: 'synchronised', mark: 'one' }) });
    const topic = rig.define();
    await rig.publish(topic);
    await rig.machine.clock.advance(1000);
    rig.machine.clock.set(MAY + 1000 - HOUR);
    await rig.publish(topic);
    await rig.machine.clock.advance(1000);
    rig.machine.source.answer = { says: 'synchronised', mark: 'two' }; // So it says: it is that early.
    await rig.machine.clock.advance(1000);
    await rig.publish(topic);
    expect(rig.machine.trust.status()).toMatchObject({ state: 'trusted', jumps: 1 });
    const found = await rig.read(topic);
    expect(found.map(({ offset }) => offset)).toEqual([0, 1, 2]);
    expect(await times(topic)).toEqual([[MAY], [MAY + 1000 - HOUR], [MAY + 3000 - HOUR]]);
  });

  test('a boot that never learned the time lies between its neighbours', async () => {
    await rig.bootIdle({ wallMs: MAY, source: new TestSource(RIGHT) });
    const topic = rig.define();
    await rig.publish(topic);
    await rig.machine.clock.advance(DAY);
    await rig.publish(topic);
    await rig.shutDown();
    await rig.boot({ wallMs: IN_1970, upMs: 5000 });
    await rig.publish(topic);
    await rig.machine.clock.advance(HOUR);
    await rig.publish(topic);
    await rig.shutDown();
    const end = MAY + DAY;
    expect((await (await reopened(), times(topic))).slice(2)).toEqual([
      [end + 5000, 'estimated', IN_1970],
      [end + 5000 + HOUR, 'estimated', IN_1970 + HOUR],
    ]);
    await rig.shutDown();
    // Far ahead: it was before the next boot whose time is known.
    await rig.boot({ wallMs: MAY + 20 * YEAR, upMs: 1000, source: new TestSource(NOT_YET) });
    await rig.publish(topic);
    await rig.shutDown();
    await rig.boot({ wallMs: MAY + 30 * DAY, upMs: 0, source: new TestSource(RIGHT) });
    const [, , , , ahead] = await times(topic);
    expect(ahead).toEqual([MAY + 30 * DAY, 'estimated', MAY + 20 * YEAR]);
  });

  test('where nobody can be asked a possible time is taken as it is', async () => {
    await rig.boot({ wallMs: MAY });
    const topic = rig.define();
    await rig.publish(topic);
    await rig.machine.clock.advance(HOUR);
    rig.machine.clock.set(MAY + HOUR + 500); // A small step.
    await rig.publish(topic);
    await rig.shutDown();
    await rig.boot({ wallMs: MAY - 20 * DAY });
    await rig.publish(topic);
    expect(await times(topic)).toEqual([[MAY], [MAY + HOUR + 500], [MAY - 20 * DAY]]);
    // And from 1970 to a possible one: what came before is told from it, and says so.
    await rig.shutDown();
    await rig.boot({ wallMs: IN_1970 });
    await rig.publish(topic);
    await rig.machine.clock.advance(HOUR);
    rig.machine.clock.set(MAY + YEAR);
    await rig.publish(topic);
    expect((await times(topic)).slice(3)).toEqual([
      [MAY + YEAR - HOUR, 'estimated', IN_1970],
      [MAY + YEAR],
    ]);
  });

  test('times that came with their records are left alone, beside others in one commit', async () => {
    await rig.boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
    const topic = rig.define();
    await Promise.all([
      appendOnce(rig.store, 'edge/1/t/0', 0, streamOf(topic), Buffer.from('its time is 1')),
      rig.publish(topic),
      appendOnce(rig.store, 'edge/1/t/0', 1, streamOf(topic), Buffer.from('its time is 1')),
    ]);
    await appendOnce(rig.store, 'edge/1/t/0', 2, streamOf(topic), Buffer.from('alone'));
    rig.machine.clock.set(MAY);
    rig.machine.source.answer = RIGHT;
    await rig.machine.clock.advance(1000);
    const expected = [[1], [MAY, 'corrected', IN_1970], [1], [1]];
    expect(await times(topic)).toEqual(expected);
    expect(await rig.store.reader.offsetAtTime(streamOf(topic), 2)).toBe(1);
  });

  const reopened = (): Promise<void> =>
    rig.boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
});

test('a read-only look sees the corrected times', async () => {
  await rig.boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
  const topic = rig.define();
  await rig.publish(topic);
  rig.machine.clock.set(MAY);
  rig.machine.source.answer = RIGHT;
  await rig.machine.clock.advance(1000);
  await rig.reopen({ readOnly: true });
  expect(await times(topic)).toEqual([[MAY, 'corrected', IN_1970]]);
});

test('what is known of the boots stands in the log too: a lost state database mixes nothing up', async () => {
  await rig.boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
  const topic = rig.define();
  await rig.publish(topic);
  rig.machine.clock.set(MAY);
  rig.machine.source.answer = RIGHT;
  await rig.machine.clock.advance(1000);
  await rig.store.retain();
  await rig.publish(topic); // Behind a checkpoint.
  await rig.shutDown();
  await rig.boot({ wallMs: IN_1970, source: new TestSource(NOT_YET) });
  await rig.publish(topic); // Behind none.
  await rig.machine.clock.advance(1000);
  await rig.reopen();
  await rig.store.keyValue('clock').delete('boots');
  await rig.shutDown();

  await rig.boot({ wallMs: MAY + DAY, source: new TestSource(RIGHT) });
  await rig.publish(topic);
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
  { weight: 2, arbitrary: fc.record({ do: fc.constant('home' as const), n: fc.constant(0) }) },
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
      fc.constantFrom(NOT_YET, { says: 'nothing' } as const),
      async (steps, searches, daemon) => {
        await rig.newDisk();
        let marks = 0;
        await rig.bootIdle({ wallMs: MAY, source: new TestSource(daemon) });
        let topic = rig.define(TIDY);
        for (const { do: what, n } of steps) {
          const { clock, trust, source } = rig.machine;
          if (what === 'publish') for (let count = 0; count <= n; count++) await rig.publish(topic);
          else if (what === 'wait') await clock.advance(n);
          else if (what === 'given') {
            await appendOnce(rig.store, 'p', marks++, streamOf(topic), Buffer.from(''), MAY + n);
          } else if (what === 'jump') clock.set(MAY + n);
          else if (what === '1970') clock.set(n);
          else if (what === 'home') clock.set(MAY + trust.read().monoMs);
          else if (what === 'right') {
            source.answer = { says: 'synchronised', mark: String(marks++) };
            await trust.start();
            trust.stop();
          } else if (what === 'checkpoint') await rig.store.retain();
          else {
            const wallMs = what === 'boot' ? n * 1000 : clock.nowMs();
            const id = what === 'boot' ? undefined : { id: rig.machine.id };
            const upMs = trust.read().monoMs;
            await rig.store.close();
            const next = what === 'boot' ? { wallMs } : { wallMs, upMs, ...id };
            await rig.bootIdle({ ...next, source: new TestSource(daemon) });
            topic = rig.define(TIDY);
          }
        }
        const records = await rig.read(topic);
        const wanted = [
          ...searches.map((ms) => MAY + ms),
          ...records.map((one) => one.timestampMs),
        ];
        for (const time of [0, ...wanted.slice(0, 20)]) {
          const expected = records.find(({ timestampMs }) => timestampMs >= time)?.offset;
          expect(await rig.store.reader.offsetAtTime(streamOf(topic), time)).toBe(
            expected ?? records.length,
          );
        }
        await rig.store.close();
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);
