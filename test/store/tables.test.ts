import { cp, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom } from '../../src/random.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import { crc32c } from '../../src/store/crc32c.ts';
import type { Database } from '../../src/store/database.ts';
import { compactLevel, openLevel, repairLevel } from '../../src/store/level-database.ts';
import { mendTables } from '../../src/store/mend-tables.ts';
import { unsnappied } from '../../src/store/snappy.ts';
import { TableFile, type DataBlock } from '../../src/store/table-file.ts';
import {
  blockOf,
  entriesIn,
  handleBytes,
  storedBlock,
  TRAILER_BYTES,
  unpackedBlock,
} from '../../src/store/table-format.ts';
import { TableGuard } from '../../src/store/table-guard.ts';
import { rebuiltTable } from '../../src/store/table-rebuild.ts';
import { systemClock } from '../../src/time.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** Tables as LevelDB makes them, read by us; and what we make, read by LevelDB. */
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-tables-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const ENTRIES = 4000;

type Contents = 'noise' | 'text';

function valueOf(index: number, contents: Contents): Buffer {
  if (contents === 'text') return Buffer.from(`{"sensor":${index},"value":${index % 7}}`.repeat(8));
  return Buffer.from(seededRandom(index).hex(300), 'hex');
}

/** One table, of several blocks; text is packed by LevelDB, noise is not. */
async function makeTable(contents: Contents): Promise<string> {
  const database = await openLevel(folder, true);
  for (let index = 0; index < ENTRIES; index++) {
    const key = entryKey(index, 'commit');
    await database.put(key, valueOf(index, contents), false);
  }
  await database.close();
  await compactLevel(folder);
  return onlyTable();
}

async function onlyTable(): Promise<string> {
  const tables = (await readdir(folder)).filter((name) => name.endsWith('.ldb'));
  expect(tables).toHaveLength(1);
  return join(folder, tables[0] ?? '');
}

async function readAll(database: Database): Promise<Map<number, Buffer>> {
  const found = new Map<number, Buffer>();
  const entries = database.entries({ oneByOne: true });
  try {
    for (;;) {
      const [entry] = await entries.next();
      if (entry === undefined) break;
      found.set(Buffer.from(entry[0]).readUInt32BE(4), Buffer.from(entry[1]));
    }
  } catch {
    // Damage is told at the end of a scan.
  } finally {
    await entries.close();
  }
  return found;
}

async function entriesLeft(contents: Contents): Promise<number> {
  const database = await openLevel(folder, false);
  try {
    const found = await readAll(database);
    for (const [index, value] of found) {
      if (!value.equals(valueOf(index, contents))) found.delete(index);
    }
    return found.size;
  } finally {
    await database.close();
  }
}

async function blocksOf(path: string): Promise<readonly DataBlock[]> {
  const table = await TableFile.open(path);
  try {
    return (await table.books())?.blocks ?? [];
  } finally {
    await table.close();
  }
}

async function mend(): Promise<string[]> {
  const logger = rememberingLogger();
  const take = (file: string): Promise<void> => rm(file);
  const { tables } = await mendTables({ folder, extent: 'all', logger, take });
  expect(tables > 0).toBe(logger.lines.length > 0);
  return logger.lines.map(({ message }) => message);
}

test.each(['noise', 'text'] as const)(
  'a table of %s is sound, and is left as it is',
  async (what) => {
    const path = await makeTable(what);
    const before = await readFile(path);
    const table = await TableFile.open(path);
    const books = await table.books();
    await table.close();
    expect(books?.altered).toEqual([]);
    expect(books?.blocks.length).toBeGreaterThan(3);
    expect(await mend()).toEqual([]);
    expect(await readFile(path)).toEqual(before);
  },
);

test.each(['noise', 'text'] as const)(
  'a page of a table of %s that is zeroed costs no more than its block',
  async (what) => {
    const path = await makeTable(what);
    const blocks = await blocksOf(path);
    const bytes = await readFile(path);
    const at = 4096 * Math.floor(bytes.length / 8192);
    await writeFile(path, bytes.fill(0, at, at + 4096));
    expect(await mend()).toEqual([expect.stringMatching(/^blocks of a table are damaged/u)]);
    expect(await mend()).toEqual([]);
    const hit = blocks.filter(({ offset, size }) => offset < at + 4096 && offset + size > at);
    const left = await entriesLeft(what);
    expect(left).toBeLessThan(ENTRIES);
    // Blocks hold about as many entries each.
    expect(left).toBeGreaterThan(ENTRIES - ((hit.length + 1) * ENTRIES) / blocks.length);
  },
);

test('an altered value is left to our own checksums: its neighbours can be read', async () => {
  const path = await makeTable('noise');
  const bytes = await readFile(path);
  bytes[150] = (bytes[150] ?? 0) ^ 1; // In the middle of the first value.
  await writeFile(path, bytes);
  expect(await mend()).toEqual([]);
  expect(await entriesLeft('noise')).toBe(ENTRIES - 1);
});

test.each([
  ['index', 'noise', 300],
  ['index', 'text', 300],
  ['places in the footer', 'noise', 48],
  ['footer', 'noise', 8],
] as const)(
  'a table without its %s (%s) gets a new one: nothing is lost',
  async (_, what, fromEnd) => {
    const path = await makeTable(what);
    const bytes = await readFile(path);
    const at = bytes.length - fromEnd;
    await writeFile(path, bytes.fill(0, at, at + 4));
    expect(await mend()).toEqual([
      expect.stringMatching(/^the index of a table is damaged: it is made/u),
    ]);
    expect(await mend()).toEqual([]);
    await repairLevel(folder);
    expect(await entriesLeft(what)).toBe(ENTRIES);
  },
);

test('a filter that is altered is left out, and everything is found', async () => {
  const path = await makeTable('noise');
  const bytes = await readFile(path);
  const last = (await blocksOf(path)).at(-1);
  const filterAt = (last?.offset ?? 0) + (last?.size ?? 0) + 5;
  await writeFile(path, bytes.fill(0, filterAt + 100, filterAt + 2000));
  expect(await mend()).toHaveLength(1);
  const database = await openLevel(folder, false);
  for (let index = 0; index < ENTRIES; index += 97) {
    expect(await database.get(entryKey(index, 'commit'))).toEqual(valueOf(index, 'noise'));
  }
  await database.close();
});

test('a table that was cut short keeps its first blocks', async () => {
  const path = await makeTable('noise');
  const { length } = await readFile(path);
  await truncate(path, Math.floor(length / 2));
  expect(await mend()).toHaveLength(1);
  await repairLevel(folder);
  expect(await entriesLeft('noise')).toBeGreaterThan(ENTRIES / 2 - 400);
});

const PAGE_BYTES = 4096;

/** The one that holds that place, zeroed. */
function withoutPage(bytes: Buffer, place: number): Buffer {
  const from = place - (place % PAGE_BYTES);
  return Buffer.from(bytes).fill(0, from, Math.min(bytes.length, from + PAGE_BYTES));
}

/** Keys of the entries of these blocks. */
function keysOf(bytes: Buffer, blocks: readonly DataBlock[]): number[] {
  return blocks.flatMap(({ offset, size }) => {
    const unpacked = unpackedBlock(bytes.subarray(offset, offset + size + TRAILER_BYTES));
    const entries = unpacked === undefined ? undefined : entriesIn(unpacked);
    return entries?.map(({ key }) => key.readUInt32BE(4)) ?? [];
  });
}

/** Of one table, after it was mended and repaired: those with the right value. */
async function keysLeft(contents: Contents): Promise<number[]> {
  await repairLevel(folder);
  const database = await openLevel(folder, false);
  try {
    const found = await readAll(database);
    for (const [index, value] of found) expect(value).toEqual(valueOf(index, contents));
    return [...found.keys()];
  } finally {
    await database.close();
  }
}

test.each([
  ['noise', 'its first block', [0], 8],
  ['noise', 'a block in the middle', [0.5], 8],
  ['noise', 'two blocks', [0.2, 0.7], 300],
  ['noise', 'its last block', [1], 8],
  ['text', 'its first block', [0], 8],
  ['text', 'two blocks', [0.2, 0.7], 300],
  ['text', 'its last block', [1], 48],
] as const)(
  'a table of %s without its index and without %s keeps all of its other blocks',
  async (what, _, places, fromEnd) => {
    const path = await makeTable(what);
    const whole = await readFile(path);
    const blocks = await blocksOf(path);
    const last = blocks.at(-1);
    let bytes: Buffer = Buffer.from(whole).fill(
      0,
      whole.length - fromEnd,
      whole.length - fromEnd + 4,
    );
    for (const place of places) bytes = withoutPage(bytes, Math.floor((last?.offset ?? 0) * place));
    const untouched = blocks.filter(({ offset, size }) => {
      const end = offset + size + TRAILER_BYTES;
      return bytes.subarray(offset, end).equals(whole.subarray(offset, end));
    });
    expect(untouched.length).toBeLessThan(blocks.length);
    await writeFile(path, bytes);
    expect(await mend()).toEqual([expect.stringMatching(/it is made anew/u)]);
    expect(await keysLeft(what)).toEqual(keysOf(whole, untouched));
  },
);

test('a table whose last pages are gone keeps all blocks before', async () => {
  const path = await makeTable('noise');
  const whole = await readFile(path);
  const blocks = await blocksOf(path);
  const at = Math.floor((blocks.at(-1)?.offset ?? 0) / PAGE_BYTES) * PAGE_BYTES;
  await writeFile(path, Buffer.from(whole).fill(0, at));
  await mend();
  const before = blocks.filter(({ offset, size }) => offset + size + TRAILER_BYTES <= at);
  expect(before.length).toBeGreaterThan(3);
  expect(await keysLeft('noise')).toEqual(keysOf(whole, before));
});

/** As LevelDB has it in a table. */
function internalKey(commit: number): Buffer {
  return Buffer.concat([entryKey(commit, 'commit'), Buffer.of(1, 0, 0, 0, 0, 0, 0, 0)]);
}

function oneBlock(commit: number, value: Buffer = valueOf(commit, 'noise')): Buffer {
  return storedBlock(blockOf([{ key: internalKey(commit), value }]));
}

/** Of these blocks, with an index and a footer. */
function tableOf(...blocks: readonly Buffer[]): Buffer | undefined {
  const data = Buffer.concat(blocks);
  const table = rebuiltTable(data);
  expect(table?.subarray(0, data.length)).toEqual(data);
  return table;
}

const GAP = Buffer.alloc(PAGE_BYTES);

test('the blocks of a table that is a value are none of the table around it', async () => {
  const inner = await readFile(await makeTable('noise'));
  // Their keys lie between those around.
  const outer = storedBlock(
    blockOf([
      { key: internalKey(0), value: Buffer.alloc(300) },
      { key: internalKey(1), value: inner },
      { key: internalKey(ENTRIES), value: valueOf(0, 'noise') },
    ]),
  );
  outer[100] = 1; // In the first value: the block is altered.
  const next = oneBlock(ENTRIES + 1);
  expect(rebuiltTable(Buffer.concat([outer, next]))).toEqual(tableOf(next));
});

test('where blocks contradict each other those count with which more can be read', () => {
  const sound = [oneBlock(1), oneBlock(3), oneBlock(4)] as const;
  const bytes = [GAP, sound[0], GAP, oneBlock(9), GAP, sound[1], sound[2]];
  expect(rebuiltTable(Buffer.concat(bytes))).toEqual(tableOf(...sound));
});

test('an index is no block of data, though its keys are those of data', () => {
  const sound = oneBlock(1);
  const size = sound.length - TRAILER_BYTES;
  const index = blockOf([
    { key: internalKey(2), value: handleBytes({ offset: 0, size }) },
    { key: internalKey(5), value: handleBytes({ offset: sound.length, size }) },
  ]);
  const bytes = [sound, GAP, storedBlock(index)];
  expect(rebuiltTable(Buffer.concat(bytes))).toEqual(tableOf(sound));
});

test("readers of several segments in turn do not have each one's index read again", async () => {
  const table = await makeTable('noise');
  const logger = rememberingLogger();
  const guard = new TableGuard({ clock: systemClock, logger, take: async () => {} });
  const readers = LIMITS.examinedFolders;
  const ownFolder = (reader: number): string => `${folder}-${reader}`;
  const bytes = await readFile(table);
  // The index stands before the footer, of 48 bytes.
  const damaged = Buffer.from(bytes).fill(0, bytes.length - 148, bytes.length - 48);
  const begin = async (reader: number): Promise<void> => {
    await cp(folder, ownFolder(reader), { recursive: true });
    await guard.reading(ownFolder(reader), reader, { commit: 0 });
    // From here on whoever reads the index finds it damaged, and says so.
    await writeFile(join(ownFolder(reader), basename(table)), damaged);
  };
  const goOn = (reader: number): Promise<number> =>
    guard.reading(ownFolder(reader), reader, { commit: 1, anew: true });
  const told = (): number =>
    logger.lines.filter(({ fields }) => fields['event'] === 'store.table-damaged').length;
  try {
    for (let reader = 0; reader < readers; reader++) await begin(reader);
    for (let reader = 0; reader < readers; reader++) await goOn(reader);
    expect(told()).toBe(0);
    // One more than are kept: the one that was read longest ago is read again.
    await begin(readers);
    await goOn(readers);
    expect(told()).toBe(0);
    await goOn(0);
    expect(told()).toBe(1);
  } finally {
    for (let reader = 0; reader <= readers; reader++) {
      await rm(ownFolder(reader), { recursive: true, force: true });
    }
  }
});

test('what is no table is left to LevelDB', async () => {
  const path = await makeTable('noise');
  const { length } = await readFile(path);
  await writeFile(path, Buffer.alloc(length));
  await mend();
  await writeFile(path, '');
  expect(await mend()).toEqual([]);
  await rm(path);
  expect(await mend()).toEqual([]);
});

test('a process that ended in the middle of making a table anew: the next one goes on', async () => {
  const path = await makeTable('noise');
  const whole = await readFile(path);
  await writeFile(`${path}.new`, 'half of it');
  await mend();
  expect(await readdir(folder)).not.toContain(`${path}.new`);
  await writeFile(`${path}.new`, whole);
  await rm(path);
  await mend();
  expect(await readFile(path)).toEqual(whole);
});

test('bytes of any kind are no table, and no reason to fail', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(unsnappied(bytes)?.length ?? 0).toBeLessThanOrEqual(32 * bytes.length);
      expect(rebuiltTable(Buffer.from(bytes))).toBeUndefined();
    }),
  );
});

test('the checksum of parts is that of the whole', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283); // As RFC 3720 has it.
  fc.assert(
    fc.property(fc.uint8Array(), fc.nat(), (bytes, where) => {
      const at = where % (bytes.length + 1);
      expect(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at)))).toBe(crc32c(bytes));
    }),
  );
});
