import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { openLevel } from '../../src/store/level-database.ts';

/** The name of a new write-ahead file is synced with the write that began it, whatever is written. */
const MIB = 1_048_576;
const random = seededRandom(7);
/** The fourth begins a file that the two after it fill; the seventh begins the next. */
const LARGE = [4e6, 1e5, 1e5, 4e6, 1e5, 1e5, 1e5];
let turn = 0;

test.each<readonly [string, () => number, number]>([
  ['empty values', () => 0, 1000],
  ['values of 200 bytes', () => 200, 100],
  ['the largest small values', () => 990, 20],
  ['the smallest large values', () => 1010, 20],
  ['values of 70 kB', () => 70_000, 1],
  ['values of up to 3 MiB', () => Math.floor(random.next() * 3 * MIB), 1],
  ['large ones that begin a file', () => LARGE[turn++ % LARGE.length] ?? 0, 1],
  ['values of any size', () => Math.floor(random.next() ** 8 * MIB), 1],
])('%s', async (_, nextBytes, perWrite) => {
  const folder = await mkdtemp(join(tmpdir(), 'gatelog-wal-name-'));
  const database = await openLevel(folder, true);
  let told = 0;
  database.onNewFile = () => told++;
  const newest = (): string =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.log'))
      .toSorted()
      .at(-1) ?? '';
  let file = newest();
  let changes = 0;
  for (let number = 0; changes < 3;) {
    const writes = Array.from({ length: perWrite }, () => {
      const key = Buffer.alloc(9);
      key.writeUInt32BE(number++, 4);
      return { key, value: Buffer.alloc(nextBytes(), number) };
    });
    await database.write(writes);
    const now = newest();
    if (now !== file) changes++;
    file = now;
    expect(told).toBe(changes);
  }
  await database.close();
  await rm(folder, { recursive: true });
});
