import { readdirSync, statSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Store } from '../../src/store/log.ts';
import { damageRig, leaveAsKilled, SMALL, type DamageRig } from '../support/damage-kit.ts';
import { append, entriesOf, fill } from '../support/store-kit.ts';

/** What the segments before tell of one that is gone, with the state database or without it. */
let rig: DamageRig;
const LOST_END = expect.stringContaining('the end of the log was lost');

beforeEach(async () => {
  rig = await damageRig();
});

afterEach(async () => {
  await rig.place.remove();
});

const open = (): Promise<Store> => rig.place.open({ ...SMALL, gateway: 'gw' });
const names = async (): Promise<string[]> => (await readdir(rig.path('log'))).toSorted();
const remove = (...parts: readonly string[]): Promise<void> =>
  rm(rig.path(...parts), { recursive: true });

/** The last segment was made, and nothing was written to it: on a busy machine it is moved to at once. */
function nextStandsReady(): boolean {
  const last = rig.path('log', readdirSync(rig.path('log')).toSorted().at(-1) ?? '');
  const logs = readdirSync(last).filter((name) => name.endsWith('.log'));
  return logs.length > 0 && logs.every((name) => statSync(join(last, name)).size === 0);
}

/** A process that is killed when `isEnough` of its folder; the offsets that it gave. */
async function killedWhen(isEnough: (store: Store, begun: number) => boolean): Promise<number[]> {
  const store = await open();
  const begun = store.counters().segments;
  do await fill(store, rig.topic, 1, { bytes: 200 });
  while (!isEnough(store, begun));
  const given = rig.topic.streams.map((stream) => store.reader.range(stream).endOffset);
  await leaveAsKilled(rig, store);
  return given;
}

/** No offset is given again; what the ledger says then. */
async function passed(given: readonly number[]): Promise<unknown[]> {
  const store = await open();
  for (const [at, stream] of rig.topic.streams.entries()) {
    expect(await append(store, stream)).toBeGreaterThanOrEqual(given[at] ?? Infinity);
  }
  const entries = await entriesOf(store);
  await store.close();
  return entries.map(({ detail }) => detail);
}

test.each([
  ['with the state database', false],
  ['and the state database', true],
])(
  'the newest segment is gone while the next stands ready, %s: no offset is given again',
  async (_, isStateLost) => {
    const given = await killedWhen(
      (store, begun) => store.counters().segments > begun + 1 && nextStandsReady(),
    );
    const [newest, prepared] = (await names()).slice(-2) as [string, string];
    expect(await readdir(rig.path('log', prepared))).not.toEqual([]);
    await remove('log', newest);
    if (isStateLost) await remove('state');
    expect(await passed(given)).toContainEqual(LOST_END);
  },
);

test('the newest segment and the state database are gone: the one before it was full', async () => {
  let before = 0;
  const given = await killedWhen((store, begun) => {
    // Past the move to another, which is not full yet.
    if (store.counters().segments > begun + 1) before++;
    return before > 60;
  });
  await remove('log', (await names()).at(-1) ?? '');
  await remove('state');
  expect(await passed(given)).toContainEqual(LOST_END);
});

test.each([0, 5, 300])(
  'the state database alone is gone after %i commits: the end is exact',
  async (commits) => {
    let count = 0;
    const given = await killedWhen(() => ++count > commits);
    for (let start = 0; start < 2; start++) {
      await remove('state');
      const store = await open();
      const ends = rig.topic.streams.map((stream) => store.reader.range(stream).endOffset);
      expect(ends).toEqual(given);
      await leaveAsKilled(rig, store);
    }
  },
);
