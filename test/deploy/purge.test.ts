import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder } from '../support/cli.ts';
import { type Finished, runProcess } from '../support/process.ts';

/** What the package's postrm takes away, in a folder instead of the system's; under the real dpkg: test/package. */
const POSTRM = path.join(import.meta.dirname, '../../deploy/debian/postrm');
let cli: CliFolder;
let at: (name: string) => string;
beforeEach(() => {
  cli = new CliFolder();
  at = (name) => path.join(cli.folder, name);
  for (const folder of ['var/lib', 'etc', 'mnt/ssd']) mkdirSync(at(folder), { recursive: true });
});
afterEach(() => cli.remove());

function script(): string {
  return readFileSync(POSTRM, 'utf8').replaceAll(/ (?=\/(?:var|etc)\/)/gu, ` ${cli.folder}`);
}

function purge(before: string = ''): Promise<Finished> {
  const text = `${before}\nset -- purge\n${script()}`;
  return runProcess({
    command: 'unshare',
    args: ['--map-root-user', '--mount', '/bin/sh', '-c', text],
  });
}

test('a data folder that is a link goes with what an agent made, and nothing else', async () => {
  symlinkSync(at('mnt/ssd'), at('var/lib/gatelog'));
  writeFileSync(at('mnt/ssd/photo.jpg'), 'of somebody');
  const { agent } = await cli.startAgent(['--data', at('var/lib/gatelog')]);
  await agent.stop();
  expect(readdirSync(at('mnt/ssd')).length).toBeGreaterThan(3);
  expect((await purge()).code).toBe(0);
  expect(readdirSync(at('mnt/ssd'))).toEqual(['photo.jpg']);
  expect(readdirSync(at('var/lib'))).toEqual([]);
});

test('a part of it on a disk of its own is emptied, and the purge ends well', async () => {
  const log = at('var/lib/gatelog/log');
  mkdirSync(log, { recursive: true });
  writeFileSync(at('var/lib/gatelog/format'), '2\n');
  const { code } = await purge(
    `mount -t tmpfs none ${log} && echo x > ${log}/x && trap 'ls -A ${log} > ${at('left')}' EXIT`,
  );
  expect(code).toBe(0);
  expect(readFileSync(at('left'), 'utf8')).toBe('');
  expect(readdirSync(at('var/lib/gatelog'))).toEqual(['log']);
  rmSync(at('var/lib/gatelog'), { recursive: true });
});
