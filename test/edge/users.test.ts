import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder } from '../support/cli.ts';
import { type Finished, runProcess, type Running } from '../support/process.ts';

/** Users and rules with a real agent, real clients and the commands that keep them. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const PASSWORD = 'planted-password';
const CONFIG = `gateway: g
log: {level: debug}
mqtt:
  listen: ["mqtt://127.0.0.1:0"]
  users: [{username: inline, password: planted-inline}]
  usersFile: users
  acl:
    - publish: ["plant/%u/#"]
`;

async function start(): Promise<{ agent: Running; port: string }> {
  const agent = await cli.start(['run', '--config', 'g.yaml']);
  const [, port = ''] = await agent.waitFor(/"listeners":\["mqtt:\/\/127\.0\.0\.1:(\d+)"/u);
  return { agent, port };
}

function publish(port: string, user: string, password: string, topic: string): Promise<Finished> {
  const login = ['-h', '127.0.0.1', '-p', port, '-V', 'mqttv5', '-u', user, '-P', password];
  const args = [...login, '-q', '1', '-t', topic, '-m', topic];
  return runProcess({ command: 'mosquitto_pub', args }, 20_000);
}

function add(name: string): Promise<Finished> {
  return cli.shell(`user add ${name} --config g.yaml --password-stdin <<< ${PASSWORD}`);
}

async function logged(): Promise<string[]> {
  const { stdout } = await cli.run(['consume', 'telemetry', '--json']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => (JSON.parse(line) as { value: string }).value).toSorted();
}

test('a password file of Mosquitto is taken over, and kept by gatelog; nothing shows a secret', async () => {
  const users = path.join(cli.folder, 'users');
  writeFileSync(path.join(cli.folder, 'g.yaml'), CONFIG);
  const made = ['-c', '-b', users, 'old', 'planted-old'];
  expect(await runProcess({ command: 'mosquitto_passwd', args: made })).toMatchObject({ code: 0 });
  const said = [await cli.run(['config', 'check', 'g.yaml'])];
  expect(said[0]).toMatchObject({ code: 0 });
  const { agent, port } = await start();
  expect(await publish(port, 'old', 'planted-old', 'plant/old/a')).toMatchObject({ code: 0 });
  expect(await publish(port, 'inline', 'planted-inline', 'plant/inline/a')).toMatchObject({
    code: 0,
  });
  expect((await publish(port, 'press', PASSWORD, 'plant/press/a')).code).not.toBe(0);
  said.push(await add('press'));
  expect(said.at(-1)).toMatchObject({ code: 0 });
  agent.signal('SIGHUP');
  await agent.waitFor(/"event":"users\.new".*2 users/u);
  expect(await publish(port, 'press', PASSWORD, 'plant/press/b')).toMatchObject({ code: 0 });
  said.push(await publish(port, 'press', PASSWORD, 'plant/old/b'));
  await agent.waitFor(/"event":"access\.refused".*a client may not publish this topic/u);
  said.push(await cli.run(['user', 'remove', 'old', '--config', 'g.yaml']));
  writeFileSync(users, `${readFileSync(users, 'utf8')}careless:planted-plain\n`);
  said.push(await cli.run(['config', 'check', 'g.yaml']));
  expect(said.at(-1)).toMatchObject({ code: 78 });
  agent.signal('SIGHUP');
  await agent.waitFor(/"event":"users\.unusable".*stay in use/u);
  expect(await publish(port, 'old', 'planted-old', 'plant/old/c')).toMatchObject({ code: 0 });
  const [text, found] = [await cli.run(['status']), await cli.run(['doctor'])];
  expect(text.stdout).toMatch(
    /^users +the users from before are in use, since \d{4}-.*users:\d+: /mu,
  );
  expect(found).toMatchObject({ code: 1, stdout: expect.stringContaining('! users: the users') });
  said.push(
    text,
    found,
    await cli.run(['status', '--json']),
    await cli.run(['user', 'list', '--file', 'users']),
  );
  expect(await logged()).toEqual(['plant/inline/a', 'plant/old/a', 'plant/old/c', 'plant/press/b']);
  expect(await agent.stop()).toEqual({ code: 0, signal: null });
  const everything = said.map(({ stdout, stderr }) => stdout + stderr).join('') + agent.stdout();
  expect(everything).toContain('a client connected');
  expect(everything).not.toMatch(/planted|\$scrypt\$|\$7\$/u);
  expect(await cli.run(['run', '--config', 'g.yaml'])).toMatchObject({ code: 78 });
});

test('gatelog acl check says yes or no, and by what line', async () => {
  writeFileSync(path.join(cli.folder, 'g.yaml'), CONFIG);
  const ask = ['acl', 'check', 'press', 'publish'];
  // Nobody has made it yet.
  const users = path.join(cli.folder, 'users');
  const note = `but there is no user "press" in mqtt.users and ${users}\n`;
  expect(await cli.run([...ask, 'plant/press/a', '--config', 'g.yaml'])).toMatchObject({
    code: 0,
    stdout: `yes: g.yaml:8:17: mqtt.acl[0].publish[0]: plant/%u/#\n${note}`,
  });
  expect(await cli.run([...ask, 'plant/old/a', '--config', 'g.yaml'])).toMatchObject({
    code: 1,
    stdout: `no: no rule of mqtt.acl allows it\n${note}`,
  });
});
