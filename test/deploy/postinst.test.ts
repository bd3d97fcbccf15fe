import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runChecked } from '../support/process.ts';

/** What the package's postinst has systemd do, which here is scripts that say what they were told. */
const SCRIPTS = path.join(import.meta.dirname, '../../deploy/debian');
const TOLD = ['systemctl', 'systemd-sysusers', 'systemd-tmpfiles', 'deb-systemd-invoke'];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-postinst-'));
  mkdirSync(path.join(folder, 'run/systemd/system'), { recursive: true });
  for (const name of [...TOLD, 'deb-systemd-helper']) {
    const script = `#!/bin/sh\necho "${name} $*" >> ${folder}/told\n`;
    writeFileSync(path.join(folder, name), script, { mode: 0o755 });
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function run(script: string, ...args: readonly string[]): Promise<void> {
  const text = readFileSync(path.join(SCRIPTS, script), 'utf8').replaceAll(
    '/run/',
    `${folder}/run/`,
  );
  await runChecked({
    command: '/bin/sh',
    args: ['-c', text, script, ...args],
    env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` },
  });
}

function invoked(): string[] {
  const file = path.join(folder, 'told');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  return lines.filter((line) => line.startsWith('deb-systemd-invoke'));
}

test('new, it is started, once', async () => {
  await run('preinst', 'install');
  await run('postinst', 'configure');
  expect(invoked()).toEqual(['deb-systemd-invoke start gatelog.service']);
});

test('an upgrade that was broken off by a power cut ends with an agent of one version', async () => {
  // What prerm had noted is gone with the boot, and systemd started what there was.
  await run('postinst', 'configure', '0.0.9-1');
  expect(invoked()).toEqual(['deb-systemd-invoke try-restart gatelog.service']);
});

test('an upgrade that is given up starts what ran, and nothing else', async () => {
  await run('postinst', 'abort-upgrade', '0.0.9-1');
  expect(invoked()).toEqual([]);
  writeFileSync(path.join(folder, 'run/gatelog.was-running'), '');
  await run('postinst', 'abort-upgrade', '0.0.9-1');
  expect(invoked()).toEqual(['deb-systemd-invoke start gatelog.service']);
  expect(existsSync(path.join(folder, 'run/gatelog.was-running'))).toBe(false);
});
