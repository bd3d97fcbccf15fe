import { expect, test } from 'vitest';
import type { TrustState } from '../../src/clock-status.ts';
import { LIMITS } from '../../src/limits.ts';
import { HOUR, MachineRig, MAY, YEAR } from '../support/machine-rig.ts';
import { TestSource } from '../support/shifty-clock.ts';

/** A process ends, the clock is set meanwhile or was before, another begins in the same boot. */
const rig = MachineRig.forEachTest();
const BOOT = 'the boot';
const said = (mark: string, atMs?: number) => ({ says: 'synchronised', mark, atMs }) as const;

/** One process of the boot: up for `fromMs`, its clock off by `aheadMs`. */
async function begin(source: TestSource, fromMs: number, aheadMs = 0): Promise<void> {
  await rig.boot({ id: BOOT, upMs: fromMs, wallMs: MAY + fromMs + aheadMs, source });
}
const state = (): TrustState => rig.machine.trust.status().state;

test.each([
  ['while it ran', true],
  ['while none ran', false],
])('the clock jumped %s: a word of before confirms it in no later process', async (_, isSeen) => {
  for (const aheadMs of [10 * YEAR, -HOUR]) {
    await rig.newDisk();
    const source = new TestSource(said('one'));
    await begin(source, HOUR);
    const topic = rig.define();
    await rig.publish(topic);
    if (isSeen) {
      rig.machine.clock.set(MAY + HOUR + aheadMs);
      await rig.machine.clock.advance(LIMITS.clockCheckMs);
    }
    expect(state()).toBe(isSeen ? 'suspect' : 'trusted');
    for (const upMs of [2 * HOUR, 3 * HOUR]) {
      await rig.shutDown();
      await begin(source, upMs, aheadMs);
      await rig.machine.clock.advance(LIMITS.clockCheckMs);
      expect(rig.machine.trust.status()).toMatchObject({ state: 'suspect', source: null, aheadMs });
      await rig.publish(topic);
    }
    const trueMs = (upMs: number): number => MAY + upMs + LIMITS.clockCheckMs;
    expect((await rig.read(topic)).slice(1)).toMatchObject([
      { timestampMs: trueMs(2 * HOUR), time: { trust: 'corrected' } },
      { timestampMs: trueMs(3 * HOUR), time: { trust: 'corrected' } },
    ]);
    source.answer = said('two');
    await rig.machine.clock.advance(LIMITS.clockCheckMs);
    expect(state()).toBe('trusted');
    await rig.shutDown();
  }
});

test.each<[string, number, number, TrustState]>([
  ['before the clock went ahead', MAY + HOUR + 1, 10 * YEAR, 'suspect'],
  ['before it went ahead a little', MAY + HOUR + 1, HOUR / 2, 'suspect'],
  ['before it went far back', MAY + HOUR + 1, -3 * HOUR, 'suspect'],
  ['after it went ahead', MAY + 2 * HOUR + 10 * YEAR, 10 * YEAR, 'trusted'],
  ['after it went back', MAY + HOUR, -HOUR, 'trusted'],
])(
  'a word that no process heard, given %s, counts by its time',
  async (_, atMs, aheadMs, expected) => {
    await begin(new TestSource(said('one', MAY)), HOUR);
    await rig.publish(rig.define());
    await rig.shutDown();
    for (const isDear of [false, true]) {
      await begin(new TestSource(said('two', atMs), isDear), 2 * HOUR, aheadMs);
      if (isDear) await rig.machine.clock.advance(LIMITS.clockCheckMs);
      expect(state()).toBe(expected);
      if (expected === 'trusted') return;
      await rig.shutDown();
    }
  },
);

test('a restart with the clock where it was is trusted at once, with no new word', async () => {
  const source = new TestSource(said('one', MAY));
  await begin(source, HOUR);
  await rig.publish(rig.define());
  await rig.shutDown();
  await begin(source, 2 * HOUR);
  expect(rig.machine.trust.status()).toMatchObject({ state: 'trusted', source: source.name });
});

test('what a source says often is kept rarely, and at once where it may matter', async () => {
  const source = new TestSource(said('0'));
  await begin(source, HOUR);
  const values = rig.store.keyValue('clock');
  const kept = async (): Promise<string> =>
    Buffer.from((await values.get('marks')) ?? []).toString('latin1');
  for (let count = 1; count < 100; count++) {
    source.answer = said(`word ${count}`);
    await rig.machine.clock.advance(LIMITS.clockCheckMs);
  }
  expect(await kept()).not.toContain('word');
  rig.machine.clock.set(MAY);
  await rig.machine.clock.advance(LIMITS.clockCheckMs);
  await expect.poll(kept).toContain('word 99');
});
