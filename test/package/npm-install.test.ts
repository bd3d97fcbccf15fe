import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ROOT } from '../../deploy/package/production-modules.ts';
import { publish } from '../support/cli.ts';
import { runChecked, startProcess } from '../support/process.ts';

/** `npm install -g` of what `npm pack` makes, into a folder of its own. */
let folder: string;
let command: string;
const env = (): Record<string, string> => ({ npm_config_prefix: path.join(folder, 'global') });

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-npm-'));
  const pack = ['pack', '--silent', '--pack-destination', folder];
  const { stdout } = await runChecked({ command: 'npm', args: pack, cwd: ROOT, env: env() });
  const tarball = path.join(folder, stdout.trim().split('\n').at(-1) ?? '');
  const install = ['install', '--global', '--no-audit', '--no-fund', tarball];
  await runChecked({ command: 'npm', args: install, cwd: folder, env: env() }, 300_000);
  command = path.join(folder, 'global/bin/gatelog');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the command is on the path, with a Node of its own, and its agent logs', async () => {
  // With an older Node on the path, or none.
  const bare = { PATH: '/usr/bin:/bin', GATELOG_CONFIG: '' };
  const version = await runChecked({ command, args: ['--version'], cwd: folder, env: bare });
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/u);
  const args = ['run', '--mqtt', 'mqtt://127.0.0.1:0'];
  const agent = await startProcess({ command, args, cwd: folder, env: bare });
  try {
    const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    await publish(url, [{ topic: 'plant/a', payload: 'one' }]);
    const consume = { command, args: ['consume', 'telemetry', '--json'], cwd: folder, env: bare };
    expect((await runChecked(consume)).stdout).toContain('plant/a');
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await agent.kill();
  }
});
