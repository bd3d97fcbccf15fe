import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder, publish } from '../support/cli.ts';

/** The real program before a data folder that it can't or may not use. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

test('a folder of another gateway ends with 65 and one line; --adopt takes it over', async () => {
  const first = await cli.startAgent(['--gateway', 'press-1']);
  await publish(first.url, [{ topic: 'a', payload: 'x' }]);
  await first.agent.stop();
  const refused = await cli.run(['run', '--mqtt', 'mqtt://127.0.0.1:0', '--gateway', 'press-2']);
  expect(refused.code).toBe(65);
  expect(refused.stderr).toMatch(
    /^gatelog: the data folder .* belongs to gateway 'press-1' .*--adopt\n$/u,
  );
  const second = await cli.startAgent(['--gateway', 'press-2', '--adopt']);
  await publish(second.url, [{ topic: 'a', payload: 'y' }]);
  await second.agent.stop();
});

test('a folder that must exist: without a log until it is there, or the end with 72', async () => {
  const config = path.join(cli.folder, 'gatelog.yaml');
  mkdirSync(cli.data);
  writeFileSync(config, 'store:\n  mustExist: true\n');
  const { agent } = await cli.startAgent(['--config', config]);
  const status = await cli.run(['status', '--config', config]);
  expect(status.stdout).toMatch(/^degraded {2}the data folder .* holds no gatelog data/u);
  expect(await agent.stop()).toEqual({ code: 0, signal: null });
  writeFileSync(config, 'store:\n  mustExist: true\n  whenUnavailable: exit\n');
  const ended = await cli.run(['run', '--config', config, '--mqtt', 'mqtt://127.0.0.1:0']);
  expect(ended.code).toBe(72);
  expect(ended.stderr).toMatch(
    /^gatelog: the data folder .* is its disk there and mounted\?.*\n$/u,
  );
});
