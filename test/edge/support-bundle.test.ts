import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { unpackTar } from 'modern-tar';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder, publish } from '../support/cli.ts';

/** `gatelog support-bundle`: secrets are planted wherever one can stand, and it is looked through for them. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const PLANTED = /planted/u;

function write(name: string, text: string): void {
  writeFileSync(path.join(cli.folder, name), text, { mode: 0o600 });
}

async function contentsOf(file: string): Promise<Map<string, string>> {
  const entries = await unpackTar(gunzipSync(readFileSync(path.join(cli.folder, file))));
  return new Map(
    entries.map(({ header, data }) => [
      path.posix.basename(header.name),
      Buffer.from(data ?? []).toString('utf8'),
    ]),
  );
}

/** Names of files in which something planted stands. */
function leaksIn(contents: ReadonlyMap<string, string>): string[] {
  return [...contents].filter(([, text]) => PLANTED.test(text)).map(([name]) => name);
}

const CONFIG = `gateway: g # planted-comment
include: ["more/*.yaml"]
data: gatelog-data
mqtt:
  listen: ["mqtt://127.0.0.1:0"]
  users: [{username: inline, password: planted-inline}]
  usersFile: users
  acl: open
mirrors:
  a:
    kafka:
      brokers: ["127.0.0.1:1"]
      sasl: {mechanism: PLAIN, username: gw, password: "\${file:kafka-secret}"}
  b:
    mqtt: {url: "mqtt://127.0.0.1:1", username: gw, password: "\${env:CENTRE}"}
`;
const ENV = { CENTRE: 'planted-env', GATELOG_API_TOKEN: 'planted-variable' };

test('beside an agent: everything that helps, and no secret', async () => {
  write('gatelog.yaml', CONFIG);
  mkdirSync(path.join(cli.folder, 'more'));
  write('more/users.yaml', 'mqtt: {users: [{username: also, password: planted-included}]}\n');
  write('kafka-secret', 'planted-file\n');
  await cli.shell('user add press --file users --password-stdin <<< planted-password');
  const agent = await cli.start(['run', '--config', 'gatelog.yaml'], ENV);
  const [, port = ''] = await agent.waitFor(/"listeners":\["mqtt:\/\/127\.0\.0\.1:(\d+)"/u);
  await publish(`mqtt://inline:planted-inline@127.0.0.1:${port}`, [
    { topic: 'a', payload: 'planted-payload' },
  ]);
  write('agent.log', agent.stdout());
  appendFileSync(
    path.join(cli.folder, 'agent.log'),
    [
      '{"msg":"asked","authorization":"Bearer planted-header","url":"https://u:planted-url@x"}',
      'Proxy-Authorization: Basic planted-header-too',
      'the password planted-file and planted-env and planted-variable were here',
    ].join('\n'),
  );
  const args = [
    'support-bundle',
    '--config',
    'gatelog.yaml',
    '-o',
    'b.tar.gz',
    '--log',
    'agent.log',
  ];
  const made = await cli.run(args, ENV);
  expect(made).toMatchObject({ code: 0, stderr: '' });
  expect(made.stdout).toMatch(/b\.tar\.gz will hold:\n {2}versions\.json .*\n/u);
  expect(made.stdout).toMatch(/wrote \S+b\.tar\.gz: .* files; \d+ secrets taken out/u);
  expect(statSync(path.join(cli.folder, 'b.tar.gz')).mode & 0o777).toBe(0o600);

  const contents = await contentsOf('b.tar.gz');
  expect([...contents.keys()]).toEqual([
    'README.txt',
    'versions.json',
    'doctor.txt',
    'doctor.json',
    'status.txt',
    'config.yaml',
    'gaps.jsonl',
    'files.txt',
    'log.txt',
    'environment.txt',
  ]);
  expect(leaksIn(contents)).toEqual([]);
  expect(made.stdout).not.toMatch(PLANTED);
  expect(contents.get('config.yaml')).toMatch(/brokers:\n {8}- 127\.0\.0\.1:1\n/u);
  expect(contents.get('config.yaml')).toMatch(
    /^# more\/users\.yaml\nmqtt:\n {2}users:\n {4}- username: also\n/mu,
  );
  expect(contents.get('doctor.txt')).toMatch(/connection: .*127\.0\.0\.1:1/u);
  expect(contents.get('status.txt')).toMatch(/gateway {3}g, gatelog /u);
  expect(JSON.parse(contents.get('doctor.json') ?? '')).toMatchObject({ agent: { gateway: 'g' } });
  expect(contents.get('log.txt')).toMatch(/"msg":"asked","authorization":"\(not shown\)"/u);
  expect(contents.get('files.txt')).toMatch(/log\/0000000000000001\//u);
  expect(contents.get('environment.txt')).toMatch(/^GATELOG_API_TOKEN$/mu);
  expect(await cli.run(args, ENV)).toMatchObject({
    code: 74,
    stderr: /is there already; --force/u,
  });
});

test('of a stopped folder, with a configuration that is wrong; a log of any size is cut', async () => {
  const { agent, url } = await cli.startAgent();
  await publish(url, [{ topic: 'a', payload: 'x' }]);
  await agent.stop();
  write('gatelog.yaml', 'gatway: planted-typo\nmqtt: {users: planted-users}\n');
  write('big.log', `${'a line of no interest\n'.repeat(200_000)}the last line\n`);
  const args = ['support-bundle', '--config', 'gatelog.yaml', '--offline', '--log', 'big.log'];
  const dry = await cli.run([...args, '-o', 'b.tar.gz', '--dry-run']);
  expect(dry.code).toBe(0);
  expect(existsSync(path.join(cli.folder, 'b.tar.gz'))).toBe(false);
  const made = await cli.run([...args, '-o', 'b.tar.gz']);
  expect(made).toMatchObject({ code: 0, stderr: '' });
  const contents = await contentsOf('b.tar.gz');
  expect(leaksIn(contents)).toEqual([]);
  expect(contents.get('config.yaml')).toMatch(/unknown option.*gateway/u);
  const log = contents.get('log.txt') ?? '';
  expect(log.trimEnd().endsWith('the last line')).toBe(true);
  expect(log.split('\n').length).toBeLessThanOrEqual(5001);
  const whole = [...contents.values()].join('').length;
  expect(whole).toBeLessThan(2 ** 20);
});

test('where there is nothing yet it says so, and tells of the machine', async () => {
  const made = await cli.run(['support-bundle', '--offline', '-o', 'b.tar.gz']);
  expect(made).toMatchObject({ code: 0, stderr: '' });
  const contents = await contentsOf('b.tar.gz');
  expect(contents.get('doctor.txt')).toMatch(/! there is no data folder .*\n[^]*file system /u);
  expect(contents.get('files.txt')).toMatch(/^it could not be had: ENOENT/u);
});

test('made with sudo, it is whose it is to send', async () => {
  mkdirSync(path.join(cli.folder, 'gatelog-data'));
  const by = { SUDO_UID: '1234', SUDO_GID: '1235' };
  const { code } = await cli.run(['support-bundle', '--offline', '-o', 'b.tar.gz'], by);
  expect(code).toBe(0);
  const { uid, gid, mode } = statSync(path.join(cli.folder, 'b.tar.gz'));
  const own = process.getuid?.() === 0 ? [1234, 1235] : [process.getuid?.(), process.getgid?.()];
  expect([uid, gid, mode & 0o777]).toEqual([...own, 0o600]);
});
