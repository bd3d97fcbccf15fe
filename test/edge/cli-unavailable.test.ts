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
  expect(status.stdout).not.toMatch(/^(disk|check|log) /mu);
  const commands = [
    ['gaps'],
    ['topics'],
    ['consume', 'telemetry'],
    ['mirror', 'status'],
    ['mirror', 'pause', 'central'],
    ['verify', '--log', cli.data],
  ];
  const answers = commands.map((command) => cli.run([...command, '--config', config]));
  for (const told of await Promise.all(answers)) {
    expect([told.code, told.stdout]).toEqual([72, '']);
    expect(told.stderr).toMatch(
      /^gatelog: the agent serves without its log and can't tell .*: the data folder .*\n$/u,
    );
  }
  expect(await agent.stop()).toEqual({ code: 0, signal: null });
  writeFileSync(config, 'store:\n  mustExist: true\n  whenUnavailable: exit\n');
  const ended = await cli.run(['run', '--config', config, '--mqtt', 'mqtt://127.0.0.1:0']);
  expect(ended.code).toBe(72);
  expect(ended.stderr).toMatch(
    /^gatelog: the data folder .* is its disk there and mounted\?.*\n$/u,
  );
});

test.each(['a file', 'a folder'])(
  '%s in place of the control socket is set aside: the agent serves, and can be asked',
  async (what) => {
    mkdirSync(cli.data);
    const socket = path.join(cli.data, 'agent.sock');
    if (what === 'a file') writeFileSync(socket, 'mine');
    else mkdirSync(socket);
    const { agent, url } = await cli.startAgent();
    await publish(url, [{ topic: 'a', payload: 'x' }]);
    expect((await cli.run(['status'])).code).toBe(0);
    const examined = await cli.run(['doctor']);
    expect(examined.stdout).toMatch(/agent\.sock.*it stood where the control socket is/u);
    await agent.stop();
  },
);
