import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { empty, leaveAsKilled, zero } from '../support/damage-kit.ts';
import { append, entriesOf, fill, FOREVER, onDisk, type Place } from '../support/store-kit.ts';

/** The newest write-ahead file of the state database is lost, and with it all of the last life. */
const SMALL = { segmentBytes: 300_000, compression: 'none' } as const;
let place: Place;
let store: Store;
let topic: TopicInfo;
let stream: StreamId;

const open = async (): Promise<void> => {
  store = await place.open(SMALL);
};
const reopen = async (): Promise<void> => {
  await store.close();
  await open();
};
const wal = async (): Promise<string> => {
  const state = join(place.folder, 'state');
  const names = (await readdir(state)).filter((name) => name.endsWith('.log'));
  expect(names).toHaveLength(1);
  return join(state, names[0] ?? '');
};
const losses = async (): Promise<unknown[]> =>
  (await entriesOf(store)).map(({ topic: name, reason, toOffset }) => [name, reason, toOffset]);

beforeEach(async () => {
  place = await onDisk.make();
  await open();
  topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1, retentionBytes: 200_000 });
  stream = topic.streams[0] as StreamId;
  await fill(store, topic, 100, { bytes: 1000 });
  await reopen();
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

describe.each([
  ['gone', (file: string): Promise<void> => rm(file)],
  ['empty', empty],
  ['of NULs', zero],
] as const)('%s', (_, harm) => {
  test('counts as damage: positions are lost, and what was removed on purpose is not', async () => {
    const positions = await store.positions('mirror.up', { pins: true });
    await positions.advance(new Map([[stream, 0]]));
    await fill(store, topic, 900, { bytes: 1000 });
    await positions.advance(new Map([[stream, 1000]]));
    await store.retain();
    await append(store, stream);
    const range = store.reader.range(stream);
    expect(range.startOffset).toBeGreaterThan(700);
    await leaveAsKilled({ place }, store);
    await harm(await wal());
    await open();
    expect(store.stateDamage).toMatch(/write-ahead file \d+\.log is gone or empty/u);
    const lost = await store.positions('mirror.up', { pins: true });
    expect([lost.get(stream), lost.lost]).toEqual([undefined, true]);
    expect(store.reader.range(stream)).toEqual(range);
    await store.scrub();
    await reopen();
    expect(store.stateDamage).toBeUndefined();
    expect(store.reader.range(stream)).toEqual(range);
    expect(await losses()).toEqual([['*', 'corruption', undefined]]);
    expect((await store.positions('mirror.up', { pins: true })).lost).toBe(true);
  });

  test('is told by the next start where one ended before it had told', async () => {
    await (await store.positions('mirror.up', { pins: true })).advance(new Map([[stream, 5]]));
    await leaveAsKilled({ place }, store);
    await harm(await wal());
    await (await levelEngine(place.folder, false).openState()).close();
    await open();
    expect(store.stateDamage).toMatch(/write-ahead file/u);
    await reopen();
    expect(store.stateDamage).toBeUndefined();
  });
});

test('starts are as far back as the log holds, where no checkpoint tells more', async () => {
  await fill(store, topic, 900, { bytes: 1000 });
  await store.retain();
  const { startOffset } = store.reader.range(stream);
  await leaveAsKilled({ place }, store);
  await empty(await wal());
  await open();
  const range = store.reader.range(stream);
  expect(range.startOffset).toBeGreaterThan(500);
  expect(range.startOffset).toBeLessThanOrEqual(startOffset);
  await store.scrub();
  await reopen();
  expect(store.reader.range(stream)).toEqual(range);
  expect(await losses()).toEqual([['*', 'corruption', undefined]]);
});

test('a process that ended before it had written anything lost nothing', async () => {
  await store.close();
  for (let life = 0; life < 2; life++) {
    await (await levelEngine(place.folder, false).openState()).close();
    await empty(await wal());
  }
  await open();
  expect(store.stateDamage).toBeUndefined();
});
