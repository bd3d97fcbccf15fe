import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { filesIn, isOfOtherFiles } from '../../src/store/manifest.ts';
import { fill, FOREVER, onDisk, type Place } from '../support/store-kit.ts';

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
