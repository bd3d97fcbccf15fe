import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Random, seededRandom } from '../../src/random.ts';
import { runProcess } from '../support/process.ts';
import { ramFolder } from './ram-folder.ts';
import { type CutReport, Witness } from './witness.ts';

/** The witness itself: what a cut takes, and what it never does. */
let folder: string;
let root: string;
let witness: Witness;

beforeEach(async () => {
  folder = mkdtempSync(join(ramFolder(), 'gatelog-witness-'));
  root = join(folder, 'disk');
  mkdirSync(root);
  witness = await Witness.prepare({ folder, root });
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a script with the witness; `fs` and the root folder `d` stand ready. */
async function run(script: string): Promise<void> {
  const whole = `const fs = require('node:fs'); const d = ${JSON.stringify(root)};
    const sync = (path) => { const f = fs.openSync(path, 'r'); fs.fsyncSync(f); fs.closeSync(f); };
    const write = (path, text) => { const f = fs.openSync(path, 'a'); fs.writeSync(f, text);
      return f; };
    ${script}`;
  const args = ['-e', whole];
  const { code, stderr } = await runProcess({
    command: process.execPath,
    args,
    env: witness.env,
  });
  expect(stderr).toBe('');
  expect(code).toBe(0);
}

/** Chance that always takes the worst: whatever no sync covered is gone. */
const worst: Random = { ...seededRandom(1), next: () => 0.2 };

function text(name: string): string | undefined {
  const path = join(root, name);
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

test('a file keeps what its sync covered, and loses what came after', async () => {
  await run(`const f = write(d + '/a', 'first'); fs.fdatasyncSync(f); fs.writeSync(f, 'second');
    sync(d);`);
  expect(witness.cut(worst, 'strict')).toMatchObject({ filesCut: 1, bytesLost: 6, untold: 0 });
  expect(text('a')).toBe('first');
});

test('strict: without a sync of its folder a new file is gone, synced or not', async () => {
  await run(`fs.fsyncSync(write(d + '/a', 'bytes'));`);
  witness.cut(worst, 'strict');
  expect(text('a')).toBeUndefined();
});

test('ordered: a sync of anything keeps the names before it', async () => {
  await run(`write(d + '/a', 'unsynced'); fs.fsyncSync(write(d + '/b', 'bytes'));
    fs.renameSync(d + '/b', d + '/c');`);
  witness.cut(worst, 'ordered');
  expect([text('a'), text('b'), text('c')]).toEqual(['', 'bytes', undefined]);
});

test.each(['strict', 'ordered'] as const)(
  '%s: what was replaced or removed without a sync of the folder comes back',
  async (manner) => {
    await run(`fs.fsyncSync(write(d + '/kept', 'old')); fs.fsyncSync(write(d + '/gone', 'here'));
      fs.fsyncSync(write(d + '/new', 'new')); fs.mkdirSync(d + '/made'); sync(d);
      fs.renameSync(d + '/new', d + '/kept'); fs.rmSync(d + '/gone');
      fs.rmdirSync(d + '/made'); fs.mkdirSync(d + '/other/below', { recursive: true });`);
    const { loose, undone } = witness.cut(worst, manner);
    expect([text('kept'), text('gone'), text('new')]).toEqual(['old', 'here', 'new']);
    expect([existsSync(join(root, 'made')), existsSync(join(root, 'other'))]).toEqual([
      true,
      false,
    ]);
    expect(loose.map(({ kind }) => kind).toSorted()).toEqual(
      ['folder', 'folder', 'remove', 'remove', 'rename'].toSorted(),
    );
    expect(undone).toBe(5);
  },
);

test('what one process left in the page cache a cut takes from the next one too', async () => {
  await run(`fs.fsyncSync(write(d + '/a', 'one')); sync(d); write(d + '/a', 'two');`);
  witness.died();
  await run(`fs.fsyncSync(write(d + '/b', 'three')); sync(d);`);
  witness.cut(worst, 'strict');
  expect([text('a'), text('b')]).toEqual(['one', 'three']);
});

test('a file under two names has one set of bytes, and loses one name', async () => {
  await run(`fs.fsyncSync(write(d + '/a', 'bytes')); fs.linkSync(d + '/a', d + '/b'); sync(d);
    fs.linkSync(d + '/a', d + '/c'); fs.rmSync(d + '/b');`);
  witness.cut(worst, 'strict');
  expect([text('a'), text('b'), text('c')]).toEqual(['bytes', 'bytes', undefined]);
});

test('after a cut everything that is left is on the disk', async () => {
  await run(`fs.fsyncSync(write(d + '/a', 'bytes')); sync(d);`);
  witness.cut(worst, 'strict');
  expect(witness.cut(worst, 'strict')).toMatchObject({ filesCut: 0, undone: 0, loose: [] });
  expect(text('a')).toBe('bytes');
});

test('covered bytes are never touched, whatever chance has it', async () => {
  await run(`const f = write(d + '/a', 'A'.repeat(5000)); fs.fsyncSync(f); sync(d);
    fs.writeSync(f, 'B'.repeat(20000));`);
  const tears = new Set<string>();
  for (let seed = 0; seed < 25; seed++) {
    const report: CutReport = witness.cut(seededRandom(seed));
    for (const tear of report.tears) tears.add(tear);
    expect(text('a')?.startsWith('A'.repeat(5000))).toBe(true);
    rmSync(join(root, 'a'));
    witness.settle();
    await run(`const f = write(d + '/a', 'A'.repeat(5000)); fs.fsyncSync(f); sync(d);
      fs.writeSync(f, 'B'.repeat(20000));`);
  }
  expect([...tears].toSorted()).toEqual(['cut', 'holes', 'torn']);
}, 60_000);

test('what sizes do not tell of is said, so that a campaign fails on it', async () => {
  await run(`fs.writeFileSync(d + '/a', 'bytes'); const f = fs.openSync(d + '/a', 'r+');
    fs.writeSync(f, 'x', 0); fs.symlinkSync(d + '/a', d + '/b');`);
  expect(witness.cut(worst, 'strict').unfollowed).toEqual([
    `overwrite ${join(root, 'a')}`,
    `pwrite ${join(root, 'a')}`,
    `symlink ${join(root, 'b')}`,
  ]);
});
