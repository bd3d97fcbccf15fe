import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runChecked, runProcess } from '../support/process.ts';

/** deploy/gatelog, the command, in installations of all kinds; Node is a script that says how it was called. */
const COMMAND = path.join(import.meta.dirname, '../../deploy/gatelog');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-launcher-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function install(root: string, isBuilt: boolean = true): string {
  mkdirSync(path.join(folder, root, 'deploy'), { recursive: true });
  mkdirSync(path.join(folder, root, 'dist'), { recursive: true });
  copyFileSync(COMMAND, path.join(folder, root, 'deploy/gatelog'));
  if (isBuilt) writeFileSync(path.join(folder, root, 'dist/main.js'), '');
  mkdirSync(path.join(folder, 'bin'));
  const command = path.join(folder, 'bin/gatelog');
  symlinkSync(path.join('..', root, 'deploy/gatelog'), command);
  return command;
}

function putNode(where: string, name: string): void {
  const file = path.join(folder, where, 'node');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho "${name} $* $MALLOC_ARENA_MAX"\n`);
  chmodSync(file, 0o755);
}

test('a dependency of its own is its Node', async () => {
  const command = install('lib/gatelog');
  putNode('lib/gatelog/node_modules/.bin', 'own');
  const { stdout } = await runChecked({ command, args: ['status', 'a b'] });
  expect(stdout).toMatch(
    /^own --max-semi-space-size=\d+ .*\/lib\/gatelog\/dist\/main\.js status a b 2\n$/u,
  );
});

test('else one that was installed beside it', async () => {
  const command = install('node_modules/gatelog');
  putNode('node_modules/.bin', 'beside');
  expect((await runChecked({ command, args: [] })).stdout).toMatch(/^beside /u);
});

test('else the one on the path', async () => {
  const command = install('lib/gatelog');
  putNode('path', 'any');
  const env = { PATH: `${path.join(folder, 'path')}:/usr/bin:/bin` };
  expect((await runChecked({ command, env })).stdout).toMatch(/^any /u);
});

test('a checkout that is not built says what to do', async () => {
  const result = await runProcess({ command: install('lib/gatelog', false) });
  expect(result).toMatchObject({ code: 78 });
  expect(result.stderr).toContain('npm run build');
});
