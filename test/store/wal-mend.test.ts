import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import type { LogKnowledge } from '../../src/store/log-knowledge.ts';
import { readBatch } from '../../src/store/wal-batch.ts';
import { readWals } from '../../src/store/wal-files.ts';
import { mendWals } from '../../src/store/wal-mend.ts';
import { readWal, walOf } from '../../src/store/wal.ts';
import { append, fill, FOREVER, onDisk, readAll, type Place } from '../support/store-kit.ts';

/** Commits of a real segment in write-ahead files, damaged before LevelDB sees them. */
const COMMITS = 120;
let place: Place;
let commits: readonly Buffer[];
let folder: string;

beforeAll(async () => {
  place = await onDisk.make();
  const store = await place.open({ compression: 'none' });
  const topic = store.writer.defineTopic('quick', { ...FOREVER, partitions: 1, durability: 'os' });
  const [stream] = topic.streams as [StreamId];
  const value = Buffer.alloc(700, 'q');
  for (let count = 0; count < COMMITS; count++) {
    await append(store, stream, { value, durability: 'os' });
  }
  const [wal] = await readWals(join(place.folder, 'log', '1'.padStart(16, '0')));
  commits = (wal?.records ?? []).map(({ bytes }) => Buffer.from(bytes));
  await store.close();
  folder = join(place.folder, 'files');
});
afterAll(() => place.remove());

beforeEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
});

const numberOf = (bytes: Buffer): number => readBatch(bytes)?.commit ?? -1;
const knows = (synced: number) => (): LogKnowledge => ({ synced, topics: [] });

/** All commits, so many of them in the first of two files. */
async function writeFiles(inFirst: number): Promise<readonly [string, string]> {
  const paths = [join(folder, '000003.log'), join(folder, '000005.log')] as const;
  await writeFile(paths[0], walOf(commits.slice(0, inFirst)));
  await writeFile(paths[1], walOf(commits.slice(inFirst)));
  return paths;
}

async function numbersLeft(): Promise<number[]> {
  return (await readWals(folder)).flatMap(({ records }) =>
    records.map(({ bytes }) => numberOf(bytes)),
  );
}

/** Mends; the copies that were kept, as they are. */
async function mended(synced: number): Promise<Buffer[]> {
  const copies: Buffer[] = [];
  await mendWals(folder, 1, knows(synced), async (copy) => {
    copies.push(await readFile(copy));
    await rm(copy);
  });
  expect((await readdir(folder)).toSorted()).toEqual(['000003.log', '000005.log']);
  return copies;
}

async function flipAt(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
  await writeFile(path, bytes);
}

test('damaged anywhere: what was synced and can be read is left, a copy of all else is kept', async () => {
  const somewhere = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: COMMITS }),
      fc.array(somewhere, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 0, max: COMMITS + 2 }),
      async (inFirst, places, synced) => {
        const paths = await writeFiles(inFirst);
        for (const at of places) {
          const path = paths[at * COMMITS < inFirst ? 0 : 1];
          const { length } = await readFile(path);
          if (length > 0) await flipAt(path, Math.floor(at * length));
        }
        const before = await numbersLeft();
        const copies = await mended(synced);
        const left = await numbersLeft();
        expect(left).toEqual(before.slice(0, left.length));
        const readable = before.filter((number) => number <= synced);
        expect(left.slice(0, readable.length)).toEqual(readable);
        const kept = copies.flatMap((copy) =>
          readWal(copy).records.map(({ bytes }) => numberOf(bytes)),
        );
        expect(kept).toEqual(expect.arrayContaining(before.slice(left.length)));
        // LevelDB finds all that is left, and nothing else.
        for (const { records, bad } of await readWals(folder)) {
          expect(bad.filter(({ from }) => from < (records.at(-1)?.from ?? 0))).toEqual([]);
        }
        expect(await mended(synced)).toEqual([]);
      },
    ),
    { numRuns: 60 },
  );
});

test('a process that ends between two files, or with a copy in hand, leaves nothing undone', async () => {
  const [first] = await writeFiles(60);
  await flipAt(first, 20_000);
  const whole = join(place.folder, 'whole');
  await cp(folder, whole, { recursive: true });
  expect(await mended(0)).toHaveLength(2);
  const wanted = await numbersLeft();
  expect(wanted.length).toBeLessThan(60);
  for (const steps of [0, 1]) {
    await rm(folder, { recursive: true });
    await cp(whole, folder, { recursive: true });
    let kept = 0;
    const ends = mendWals(folder, 1, knows(0), () =>
      kept++ < steps ? Promise.resolve() : Promise.reject(new Error('it ends here')),
    );
    await expect(ends).rejects.toThrow('it ends here');
    // What has been cut off so far is no hole.
    expect((await numbersLeft()).slice(0, wanted.length)).toEqual(wanted);
    expect((await mended(0)).length).toBeGreaterThan(0);
    expect(await numbersLeft()).toEqual(wanted);
  }
  await rm(whole, { recursive: true });
});

describe('commits of another file behind a torn end', () => {
  const foreign = (bytes: Buffer, by: number): Buffer => {
    const moved = Buffer.from(bytes);
    moved.writeBigUInt64LE(moved.readBigUInt64LE(0) + BigInt(by), 0);
    return moved;
  };

  test.each([
    ['of an older one', 20, 0],
    ['of another database, with larger numbers', 90, 5000],
    ['of another database, with smaller numbers', 90, -60],
  ] as const)('%s are left out, and kept', async (_, from, by) => {
    const [first, second] = await writeFiles(COMMITS);
    const others = commits.slice(from, from + 5).map((bytes) => foreign(bytes, by));
    await writeFile(first, walOf([...commits.slice(0, 50), ...others]));
    await writeFile(second, '');
    const [copy] = await mended(COMMITS);
    expect(readWal(copy ?? Buffer.alloc(0)).records).toHaveLength(55);
    expect(await numbersLeft()).toEqual(commits.slice(0, 50).map(numberOf));
  });
});

test('in one and the same life: rot in a segment that is closed loses what it hit, and tells it', async () => {
  const life = await onDisk.make();
  const options = { segmentBytes: 30_000, compression: 'none', ledgerIdleMs: 1 } as const;
  const store = await life.open(options);
  const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
  await fill(store, topic, 1500, { bytes: 200, perCommit: 10 });
  const segment = (await readdir(join(life.folder, 'log'))).toSorted().at(-5) ?? '';
  const files = await readdir(join(life.folder, 'log', segment));
  const wal = join(
    life.folder,
    'log',
    segment,
    files.find((name) => /^\d+\.log$/u.test(name)) ?? '',
  );
  const bytes = await readFile(wal);
  await flipAt(wal, Math.floor(bytes.length / 4));
  const { records, gaps } = await readAll(store, topic.streams);
  expect(records.get(topic.streams[0] as StreamId)).toHaveLength(1490);
  expect(gaps.map(({ fromOffset, toOffset }) => toOffset - fromOffset)).toEqual([10]);
  const aside = await readdir(join(life.folder, 'quarantine'));
  expect(aside.filter((name) => name.endsWith('.altered'))).toHaveLength(1);
  await store.close();
  await life.remove();
});
