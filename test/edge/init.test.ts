import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder, publish } from '../support/cli.ts';
import { freePorts } from '../support/ports.ts';

/** What `gatelog init` writes is good, starts an agent, and lets in whom it says. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

test('by flags: it starts, and the password that was made is the one that counts', async () => {
  const [port = 0] = await freePorts(1);
  const listen = ['--listen', `mqtt://0.0.0.0:${port}`];
  const made = await cli.run([
    'init',
    '--yes',
    '--gateway',
    'gw-1',
    ...listen,
    '--user',
    'press-1',
  ]);
  expect(made).toMatchObject({ code: 0, stderr: '' });
  expect(made.stdout).toMatch(/ok {4}listen .* is free\n/u);
  expect(made.stdout).toMatch(/gatelog\.yaml: good \(1 topic, 1 route, 0 mirrors\)\n/u);
  const [, password = ''] = /password of press-1: (\S+)/u.exec(made.stdout) ?? [];
  const agent = await cli.start(['run', '--config', 'gatelog.yaml']);
  await agent.waitFor(/"listeners":\["mqtt:/u);
  const url = `mqtt://127.0.0.1:${port}`;
  const as = (secret: string): ReturnType<typeof connectAsync> =>
    connectAsync(url, { username: 'press-1', password: secret, reconnectPeriod: 0 });
  await expect(as('another')).rejects.toThrow(/Bad username or password/u);
  const client = await as(password);
  await client.publishAsync('press-1/a', 'x', { qos: 1 });
  await client.endAsync();
  const { stdout } = await cli.run(['consume', 'telemetry', '--config', 'gatelog.yaml', '--json']);
  expect(JSON.parse(stdout)).toMatchObject({ key: 'press-1/a', value: 'x' });

  // Its own port is no stranger's.
  const again = await cli.run(['init', '--yes', '--force', ...listen, '--user', 'press-1']);
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toMatch(
    /ok {4}listen .*the agent that runs on \S+ listens there; a restart/u,
  );
  const users = readFileSync(path.join(cli.folder, 'users'), 'utf8');
  expect(users.match(/^press-1:/gmu)).toHaveLength(1);
});

test('nothing is written over, and nothing while Kafka does not answer', async () => {
  writeFileSync(path.join(cli.folder, 'gatelog.yaml'), 'log: {level: warn}\n');
  expect(await cli.run(['init', '--yes'])).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('is there already; nothing was changed'),
  });
  // Of one that says nothing but what another file does, too.
  writeFileSync(path.join(cli.folder, 'gatelog.yaml'), 'include: [level.yaml]\n');
  writeFileSync(path.join(cli.folder, 'level.yaml'), 'log: {level: warn}\n');
  expect(await cli.run(['init', '--yes'])).toMatchObject({ code: 64 });
  expect(await cli.run(['init', '--yes', '--force', '--no-test'])).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(
      /gatelog\.yaml\.old includes \S+level\.yaml; the new file does not/u,
    ),
  });
  const [port = 0] = await freePorts(1);
  const to = [
    '--listen',
    `mqtt://127.0.0.1:${port}`,
    '--kafka',
    '127.0.0.1:1',
    '--config',
    'b.yaml',
  ];
  const refused = await cli.run(['init', '--yes', ...to]);
  expect(refused).toMatchObject({ code: 69 });
  expect(refused.stdout).toMatch(/FAIL {2}connection .*nothing listens there/u);
  expect(refused.stderr).toMatch(/1 step failed, and nothing was written; .* --no-test/u);
  expect(await cli.run(['init', '--yes', '--no-test', ...to])).toMatchObject({ code: 0 });
});

test('a central gatelog: tried with its password before anything is written, and records come there', async () => {
  const centre = new CliFolder();
  try {
    const file = path.join(centre.folder, 'centre.yaml');
    const users = 'users: [{username: gw, password: of-gw}], acl: open';
    writeFileSync(file, `gateway: centre\nmqtt: {central: true, ${users}}\n`);
    const { url } = await centre.startAgent(['--config', 'centre.yaml']);
    const [port = 0] = await freePorts(1);
    const to = `--gateway gw-1 --listen mqtt://127.0.0.1:${port} --upstream ${url} --upstream-user gw`;
    const refused = await cli.shell(`init --yes ${to} --password-stdin <<< wrong`);
    expect(refused).toMatchObject({ code: 69 });
    expect(refused.stdout).toMatch(/ok {4}connection .*\n.*FAIL {2}MQTT /u);
    expect(existsSync(path.join(cli.folder, 'gatelog.yaml'))).toBe(false);

    const made = await cli.shell(`init --yes ${to} --password-stdin <<< of-gw`);
    expect(made).toMatchObject({ code: 0, stderr: '' });
    expect(made.stdout).toMatch(/ok {4}MQTT .*as user 'gw'/u);
    expect(made.stdout).toMatch(/secrets\/mqtt: the password of gw at mqtt:/u);
    const agent = await cli.start(['run', '--config', 'gatelog.yaml', '--http', 'off']);
    await agent.waitFor(/"listeners":\["mqtt:/u);
    const follow = await centre.start(['consume', 'telemetry', '--follow', '--json']);
    await publish(`mqtt://127.0.0.1:${port}`, [{ topic: 'a', payload: 'x' }]);
    await follow.waitFor(/"key":"a","value":"x"/u);
  } finally {
    await centre.remove();
  }
});
