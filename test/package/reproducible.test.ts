import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ARCHITECTURES, ROOT } from '../../deploy/package/production-modules.ts';
import { toolFile } from '../setup/tools.mjs';
import { runChecked } from '../support/process.ts';

/**
 * The same sources are the same packages: here, and built from scratch in another folder at another time, by
 * somebody with another umask, time zone and language.
 */
const HASHES = 'test/package/hashes.ts';
/** What is not a source of it. */
const LEFT_OUT = new Set(['.git', '.cache', 'dist', 'node_modules', 'packages']);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-again-'));
  const filter = (file: string): boolean => !LEFT_OUT.has(path.relative(ROOT, file));
  cpSync(ROOT, folder, { recursive: true, filter });
  // The compiler and what it reads; what is shipped is fetched anew.
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const env = { SOURCE_DATE_EPOCH: '1700000000' };

test('the same input is the same file', async () => {
  const here = await runChecked({ command: process.execPath, args: [HASHES], cwd: ROOT, env });
  const other = {
    ...env,
    TZ: 'Pacific/Kiritimati',
    LANG: 'tr_TR.UTF-8',
    LC_ALL: 'tr_TR.UTF-8',
    LANGUAGE: 'tr',
    HOME: folder,
    npm_config_cache: path.join(folder, '.cache', 'npm'),
  };
  const build = `umask 077; npm run build && exec "$0" -f +2d "$1" ${HASHES}`;
  const args = ['-ec', build, toolFile('faketime'), process.execPath];
  const spec = { command: '/bin/sh', args, cwd: folder, env: other };
  const there = await runChecked(spec, 500_000);
  const hashes = here.stdout.trim().split('\n');
  expect(hashes).toHaveLength(Object.keys(ARCHITECTURES).length);
  expect(there.stdout.trim().split('\n').slice(-hashes.length)).toEqual(hashes);
});
