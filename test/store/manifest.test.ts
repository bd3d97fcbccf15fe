import { appendFile, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { crc32c, masked } from '../../src/store/crc32c.ts';
import type { Store } from '../../src/store/log.ts';
import { cutTornEnd, filesIn, isOfOtherFiles } from '../../src/store/manifest.ts';
import { fill, FOREVER, onDisk, type Place, readAll } from '../support/store-kit.ts';

/** Our reading of LevelDB's list of files, against what LevelDB itself keeps. */
let place: Place;

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(() => place.remove());

test('it names the tables that are there, and no opening would delete any', async () => {
  for (let round = 0; round < 4; round++) {
    const store = await place.open({ segmentBytes: 9_000_000, compression: 'none' });
    const topic = store.writer.defineTopic('t', FOREVER);
    await fill(store, topic, 2500, { bytes: 3000, perCommit: 100 });
    await store.close();
  }
  for (const name of await readdir(join(place.folder, 'log'))) {
    const folder = join(place.folder, 'log', name);
    const files = await readdir(folder);
    const manifest = files.find((file) => file.startsWith('MANIFEST')) ?? '';
    const { tables } = filesIn(await readFile(join(folder, manifest)));
    const there = files
      .filter((file) => file.endsWith('.ldb'))
      .map((file) => Number.parseInt(file, 10));
    expect([...tables.keys()].toSorted((a, b) => a - b)).toEqual(there.toSorted((a, b) => a - b));
    expect(await isOfOtherFiles(folder)).toBe(false);
  }
});

describe('a list that a crash left', () => {
  let folder = '';
  let list = '';

  beforeEach(async () => {
    const store = await place.open({ compression: 'none' });
    const topic = store.writer.defineTopic('t', FOREVER);
    await fill(store, topic, 2000, { bytes: 3000, perCommit: 100 });
    await store.close();
    const [segment = ''] = await readdir(join(place.folder, 'log'));
    folder = join(place.folder, 'log', segment);
    const names = await readdir(folder);
    list = join(folder, names.find((name) => name.startsWith('MANIFEST')) ?? '');
  });

  test('leftovers of a recovery or a compaction are no reason for a repair', async () => {
    const table = (await readdir(folder)).find((name) => name.endsWith('.ldb')) ?? '';
    const bytes = await readFile(join(folder, table));
    await writeFile(join(folder, '900000.ldb'), bytes.subarray(0, bytes.length / 2));
    await writeFile(join(folder, '000001.log'), 'copied into a table before the crash');
    expect(await isOfOtherFiles(folder)).toBe(false);
    const store = await place.open();
    expect(await recordsOf(store)).toBe(2000);
    await store.close();
    expect(await readdir(folder)).not.toContain('lost');
    // LevelDB deletes them: nothing of them is lost.
    expect(await readdir(join(place.folder, 'quarantine'))).toEqual([]);
  });

  test('a table that it names and that is gone, or of another size, is one', async () => {
    const table = (await readdir(folder)).find((name) => name.endsWith('.ldb')) ?? '';
    await truncate(join(folder, table), 100);
    expect(await isOfOtherFiles(folder)).toBe(true);
  });

  test.each([
    ['rubbish', Buffer.from('rubbish that is longer than a header')],
    ['a whole edit with a wrong checksum', Buffer.from([1, 2, 3, 4, 2, 0, 1, 9, 9])],
    ['the beginning of an edit', Buffer.from([1, 2, 3, 4, 200, 0, 2, 9, 9])],
  ])('%s at its end is cut off, and nothing is repaired', async (_, end) => {
    const whole = await readFile(list);
    await appendFile(list, end);
    expect(await cutTornEnd(folder)).toBe(true);
    expect(await readFile(list)).toEqual(whole);
    await appendFile(list, end);
    const store = await place.open();
    expect(await recordsOf(store)).toBe(2000);
    await store.close();
    expect(await readdir(folder)).not.toContain('lost');
  });

  test('a whole list, and one that is damaged in its middle, are left alone', async () => {
    expect(await cutTornEnd(folder)).toBe(false);
    const bytes = await readFile(list);
    await writeFile(list, Buffer.concat([bytes, Buffer.alloc(32_768 - bytes.length, 7), bytes]));
    expect(await cutTornEnd(folder)).toBe(false);
  });
});

async function recordsOf(store: Store): Promise<number> {
  const streams = store.reader.topic('t')?.streams ?? [];
  const { records, gaps } = await readAll(store, streams);
  expect(gaps).toEqual([]);
  return [...records.values()].flat().length;
}

test('the checksum is Castagnoli’s, and masked as LevelDB has it', () => {
  // RFC 3720, B.4: 32 bytes of zeros.
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  expect(masked(0)).toBe(0xa282ead8);
});

test('any bytes are a list, or a RangeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const outcome = outcomeOf(() => filesIn(Buffer.from(bytes)));
      expect(outcome).toMatch(/^(?:files|RangeError)$/u);
    }),
  );
});

function outcomeOf(read: () => unknown): string {
  try {
    read();
    return 'files';
  } catch (error) {
    return error instanceof Error ? error.name : 'something else';
  }
}
