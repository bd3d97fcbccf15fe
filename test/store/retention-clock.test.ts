import { describe, expect, test } from 'vitest';
import type { Loss } from '../../src/loss.ts';
import type { TopicInfo } from '../../src/store/log.ts';
import { DAY, HOUR, IN_1970, MachineRig, MAY, streamOf, YEAR } from '../support/machine-rig.ts';
import { RIGHT, TestSource, type BootOptions } from '../support/shifty-clock.ts';
import { entriesOf, fill } from '../support/store-kit.ts';

const rig = MachineRig.forEachTest();
const startOf = (topic: TopicInfo): number => rig.store.reader.range(streamOf(topic)).startOffset;

describe('retention by time', () => {
  const keep = (): TopicInfo => rig.define({ retentionMs: 7 * DAY });
  /** Retention cuts at checkpoints; it asks for one, which the next commit makes. */
  const retain = async (topic: TopicInfo): Promise<void> => {
    await rig.store.retain();
    await rig.publish(topic);
    await rig.store.retain();
  };

  test('a clock that jumps ahead years deletes nothing early', async () => {
    await rig.bootIdle({
      wallMs: MAY,
      source: new TestSource({ says: 'synchronised', mark: 'one' }),
    });
    const topic = keep();
    await fill(rig.store, topic, 500, { timeMs: MAY });
    rig.machine.clock.set(MAY + 10 * YEAR);
    await retain(topic);
    await rig.machine.clock.advance(6 * DAY);
    await retain(topic);
    expect(startOf(topic)).toBe(0);
    await rig.machine.clock.advance(DAY + HOUR);
    await retain(topic);
    expect(startOf(topic)).toBeGreaterThanOrEqual(500);
  });

  test('one that jumps back keeps nothing for ever', async () => {
    await rig.bootIdle({ wallMs: MAY + 10 * YEAR });
    const topic = keep();
    await fill(rig.store, topic, 500, { timeMs: MAY + 10 * YEAR });
    rig.machine.clock.set(MAY);
    await retain(topic);
    await rig.machine.clock.advance(7 * DAY + HOUR);
    await retain(topic);
    expect(startOf(topic)).toBeGreaterThanOrEqual(500);
  });

  test('a boot in 1970 and one in 2036 count only for as long as they last', async () => {
    await rig.bootIdle({ wallMs: MAY, source: new TestSource(RIGHT) });
    const topic = keep();
    await fill(rig.store, topic, 500, { timeMs: MAY });
    await rig.machine.clock.advance(DAY);
    await rig.shutDown();
    for (const wallMs of [IN_1970, MAY + 10 * YEAR, IN_1970]) {
      await rig.bootIdle({ wallMs });
      await rig.machine.clock.advance(DAY);
      await retain(topic);
      expect(startOf(topic)).toBe(0);
      await rig.shutDown();
    }
    // Known again, and only a day later than those boots lasted: still not a week.
    await rig.bootIdle({ wallMs: MAY + 5 * DAY, source: new TestSource(RIGHT) });
    await retain(topic);
    expect(startOf(topic)).toBe(0);
    await rig.shutDown();
    // Two weeks off, and known: that counts, though no clock of ours ran.
    await rig.bootIdle({ wallMs: MAY + 19 * DAY, source: new TestSource(RIGHT) });
    await retain(topic);
    expect(startOf(topic)).toBeGreaterThanOrEqual(500);
  });

  test.each([
    ['ten years ahead', MAY + 10 * YEAR, /more than a year after the last time/u],
    ['back, before the newest record', MAY - DAY, /before the last time that was known for sure/u],
  ])(
    'a start with the clock %s, and nobody to ask: nothing leaves, and it is told',
    async (_, wallMs, why) => {
      await rig.bootIdle({ wallMs: MAY, source: new TestSource(RIGHT) });
      const topic = keep();
      await fill(rig.store, topic, 500, { timeMs: MAY });
      await rig.machine.clock.advance(DAY);
      await rig.shutDown();
      await rig.bootIdle({ wallMs });
      expect(rig.machine.trust.status()).toMatchObject({
        state: 'suspect',
        why: expect.stringMatching(why),
      });
      await retain(topic);
      await rig.machine.clock.advance(5 * DAY);
      await retain(topic);
      expect(startOf(topic)).toBe(0);
      // Somebody sets it right: it is taken as it is again, and counts no more than before.
      rig.machine.clock.set(MAY + 8 * DAY);
      await retain(topic);
      expect(rig.machine.trust.status()).toMatchObject({ state: 'unconfirmed', why: null });
      expect(startOf(topic)).toBe(0);
      await rig.machine.clock.advance(DAY + HOUR);
      await retain(topic);
      expect(startOf(topic)).toBeGreaterThanOrEqual(500);
    },
  );

  test('the next start with the right clock is not held for wrong by one that was ahead', async () => {
    await rig.bootIdle({ wallMs: MAY, source: new TestSource(RIGHT) });
    await rig.publish(keep());
    await rig.shutDown();
    await rig.bootIdle({ wallMs: MAY + 10 * YEAR });
    await rig.publish(keep());
    await rig.shutDown();
    await rig.bootIdle({ wallMs: MAY + DAY });
    expect(rig.machine.trust.status().state).toBe('unconfirmed');
  });

  test.each([
    ['of other boots', undefined],
    ['of the same boot', 'the boot'],
  ])(
    'years ahead of starts %s that nobody confirmed either is held against each start',
    async (_, id) => {
      const bootIn = (wallMs: number, upMs: number): Promise<void> =>
        rig.bootIdle(id === undefined ? { wallMs } : { wallMs, id, upMs });
      await bootIn(MAY, HOUR);
      const topic = keep();
      await rig.publish(topic);
      expect(rig.machine.trust.status().state).toBe('unconfirmed');
      await rig.machine.clock.advance(DAY);
      await rig.shutDown();
      for (const upMs of [2 * DAY, 3 * DAY]) {
        await bootIn(MAY + 10 * YEAR, upMs);
        const why = expect.stringMatching(
          /more than a year after the time of earlier ones, 2026-05/u,
        );
        expect(rig.machine.trust.status()).toMatchObject({ state: 'suspect', why });
        await rig.publish(topic);
        await rig.shutDown();
      }
      await bootIn(MAY + 4 * DAY, 4 * DAY);
      expect(rig.machine.trust.status()).toMatchObject({ state: 'unconfirmed', why: null });
      await rig.publish(topic);
      const notes = (await rig.read(topic)).map(({ time }) => time?.trust);
      expect(notes).toEqual([undefined, 'estimated', 'estimated', undefined]);
    },
  );

  test('it is trusted when somebody confirms it, and taken as it is when it is set right', async () => {
    const start = async (options: BootOptions): Promise<string> => {
      await rig.bootIdle(options);
      await rig.publish(keep());
      return rig.machine.trust.status().state;
    };
    await start({ wallMs: MAY });
    await rig.shutDown();
    expect(await start({ wallMs: MAY + 10 * YEAR })).toBe('suspect');
    rig.machine.clock.set(MAY + DAY);
    await rig.publish(keep());
    expect(rig.machine.trust.status().state).toBe('unconfirmed');
    await rig.shutDown();
    const source = new TestSource(RIGHT);
    expect(await start({ wallMs: MAY + 10 * YEAR, source })).toBe('trusted');
  });

  test('behind a start that nobody confirmed is no reason: that one may have been wrong', async () => {
    await rig.bootIdle({ wallMs: MAY + 10 * YEAR });
    await rig.publish(keep());
    await rig.shutDown();
    await rig.bootIdle({ wallMs: MAY });
    expect(rig.machine.trust.status().state).toBe('unconfirmed');
  });

  test('a clock ten years ahead makes no entry of the loss ledger old', async () => {
    await rig.bootIdle({ wallMs: MAY, source: new TestSource(RIGHT) });
    const topic = rig.define({ retentionBytes: 1 });
    await fill(rig.store, topic, 10, { timeMs: MAY });
    await rig.store.ledger.record([lossOf('t')]);
    await rig.machine.clock.advance(HOUR);
    await rig.shutDown();
    await rig.bootIdle({ wallMs: MAY + 10 * YEAR });
    await rig.machine.clock.advance(HOUR);
    expect(await entriesOf(rig.store)).toMatchObject([{ topic: 't', records: 1 }]);
  });
});

const lossOf = (topic: string): Loss => ({
  topic,
  partition: 0,
  fromOffset: 0,
  toOffset: 1,
  records: 1,
  bytes: undefined,
  reason: 'pressure',
  detail: 'a test',
  mirror: undefined,
});
