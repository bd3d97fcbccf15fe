import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FORMAT_FILE } from '../../src/store/format-file.ts';
import { lookAtFolder } from '../../src/store/look.ts';
import { openStore } from '../../src/store/open.ts';
import { FORMAT_VERSION } from '../../src/store/state.ts';
import { seededRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-format-'));
  file = join(folder, FORMAT_FILE);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function openAndClose(): Promise<void> {
  const parts = { clock: systemClock, random: seededRandom(1), logger: silentLogger };
  const store = await openStore({ folder, ...parts });
  await store.close();
}

test('the format of a data folder stands in it as text, and is one of its files', async () => {
  await openAndClose();
  expect(readFileSync(file, 'utf8')).toBe(`${FORMAT_VERSION}\n`);
  expect((await lookAtFolder(folder)).strange).toEqual([]);
  const { mtimeMs } = statSync(file);
  await openAndClose();
  expect(statSync(file).mtimeMs).toBe(mtimeMs);
});

test('what an earlier gatelog noted there is brought up to date', async () => {
  writeFileSync(file, `${FORMAT_VERSION - 1}\n`);
  await openAndClose();
  expect(readFileSync(file, 'utf8')).toBe(`${FORMAT_VERSION}\n`);
});

test('something else in its place is no reason not to start', async () => {
  mkdirSync(file);
  await openAndClose();
  expect((await lookAtFolder(folder)).strange).toEqual([FORMAT_FILE]);
});
