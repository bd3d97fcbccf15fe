import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listAside, QUARANTINE, QuarantineFolder } from '../../src/store/quarantine-folder.ts';
import { onDisk, fill, FOREVER, rememberingLogger } from '../support/store-kit.ts';
import { SimClock } from '../support/sim-clock.ts';

const MIB = 1_048_576;

let folder: string;
const namesIn = async (data: string): Promise<string[]> =>
  (await listAside(data)).map(({ name }) => name);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-aside-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('what may be set aside is scaled to the cap; the newest stays whatever its size', async () => {
  const quarantine = new QuarantineFolder(folder, rememberingLogger(), new SimClock(), 8 * 10_000);
  const take = async (bytes: number): Promise<string[]> => {
    await writeFile(join(folder, 'damaged'), Buffer.alloc(bytes));
    await quarantine.take(join(folder, 'damaged'), 'segment-1', { why: 'a test' });
    return namesIn(folder);
  };
  expect(await take(4000)).toEqual(['0001-segment-1']);
  expect(await take(6000)).toEqual(['0001-segment-1', '0002-segment-1']);
  expect(await take(3000)).toEqual(['0002-segment-1', '0003-segment-1']);
  expect(await take(20_000)).toEqual(['0004-segment-1']);
});

test('where there is no other room, it goes oldest first before a record that no mirror has had', async () => {
  const place = await onDisk.make();
  const aside = join(place.folder, QUARANTINE);
  await mkdir(aside, { recursive: true });
  for (const name of ['0001-segment-1', '0002-state']) {
    await writeFile(join(aside, name), Buffer.alloc(4 * MIB));
  }
  const logger = rememberingLogger();
  const store = await place.open({
    logger,
    maxBytes: 18 * MIB,
    segmentBytes: MIB,
    compression: 'none',
  });
  const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
  const seen: string[] = [];
  while (store.counters().disk.recordsDropped === 0) {
    await fill(store, topic, 16, { bytes: 16_384, perCommit: 8 });
    await store.measured();
    const names = (await namesIn(place.folder)).join(' ');
    if (names !== seen.at(-1)) seen.push(names);
  }
  expect(seen).toEqual(['0001-segment-1 0002-state', '0002-state', '']);
  const told = logger.lines.filter(({ fields }) => fields['event'] === 'store.aside-removed');
  expect(told.map(({ fields }) => fields['names'])).toEqual([['0001-segment-1'], ['0002-state']]);
  await store.close();
  await place.remove();
}, 60_000);
