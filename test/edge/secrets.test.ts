import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder } from '../support/cli.ts';
import { type Finished, runChecked, runProcess } from '../support/process.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';
import { signed } from '../support/tokens.ts';

/** Secrets planted wherever one can stand; what is printed, logged and told is looked through for them. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const SECRET = 'planted-secret-of-at-least-32-bytes';
const MQTT = `gateway: g
log: {level: debug}
http: {listen: ["http://127.0.0.1:0"], token: planted-read-token, adminToken: planted-admin-token}
mqtt:
  listen: ["mqtt://127.0.0.1:0", "mqtts://127.0.0.1:0"]
  tls: {cert: server.pem, key: locked.key, passphrase: planted-passphrase}
  users: [{username: inline, password: planted-inline}]
  usersFile: users
  acl: own
`;

function write(name: string, text: string): void {
  writeFileSync(path.join(cli.folder, name), text);
}

function publish(port: string, user: string, password: string): Promise<Finished> {
  const login = ['-h', '127.0.0.1', '-p', port, '-V', 'mqttv5', '-u', user, '-P', password];
  const args = [...login, '-q', '1', '-t', `${user}/a`, '-m', 'x'];
  return runProcess({ command: 'mosquitto_pub', args }, 20_000);
}

test('no password, token, key or hash is in the log, the status, an error or a doctor’s report', async () => {
  const { key } = await makeServerCertificate(cli.folder, 'server', 365);
  const locked = ['-aes256', '-passout', 'pass:planted-passphrase', '-out', 'locked.key'];
  const args = ['pkey', '-in', key, ...locked.slice(0, -1), path.join(cli.folder, 'locked.key')];
  await runChecked({ command: 'openssl', args }, 30_000);
  write('g.yaml', `${MQTT}  jwt: {secret: ${SECRET}}\n`);
  const add = 'user add press --config g.yaml --password-stdin <<< planted-password';
  const said = [await cli.shell(add), await cli.run(['config', 'check', 'g.yaml'])];
  expect(said.map(({ code }) => code)).toEqual([0, 0]);
  const agent = await cli.start(['run', '--config', 'g.yaml']);
  const [, port = ''] = await agent.waitFor(/"listeners":\["mqtt:\/\/127\.0\.0\.1:(\d+)"/u);
  const token = (claims: object, secret: string, seconds: number): Promise<string> =>
    signed({ sub: 'inline', ...claims }, { alg: 'HS256' }, Buffer.from(secret), seconds);
  const tried: readonly (readonly [string, string, boolean])[] = [
    ['press', 'planted-password', true],
    ['press', 'planted-wrong', false],
    ['inline', 'planted-inline', true],
    ['inline', await token({}, SECRET, 600), true],
    ['inline', await token({ planted: 'planted-claim' }, `${SECRET}!`, 600), false],
    ['inline', await token({ planted: 'planted-claim' }, SECRET, -600), false],
    ['inline', await token({ sub: '\u0001planted' }, SECRET, 600), false],
  ];
  for (const [user, password, isGood] of tried) {
    const done = await publish(port, user, password);
    expect([user, done.code === 0]).toEqual([user, isGood]);
    said.push(done);
  }
  const [, http = ''] = await agent.waitFor(/"http\.listening","listeners":\["(http:[^"]+)"/u);
  const answers: string[] = [];
  for (const bearer of ['planted-read-token', 'planted-wrong-token']) {
    for (const at of ['status', 'clients', 'events', 'openapi.json', 'topics/telemetry/records']) {
      const headers = { authorization: `Bearer ${bearer}` };
      const response = await fetch(`${http}/api/v1/${at}`, { headers });
      expect([at, response.status]).toEqual([at, bearer.includes('wrong') ? 401 : 200]);
      answers.push(await response.text());
    }
  }
  write('users', 'press:planted-plain\n');
  write('locked.key', 'planted-key\n');
  agent.signal('SIGHUP');
  await agent.waitFor(/"event":"users\.unusable"/u);
  await agent.waitFor(/"event":"certificate\.unusable"/u);
  for (const command of [['status'], ['status', '--json'], ['doctor'], ['doctor', '--json']]) {
    said.push(await cli.run(command));
  }
  expect(said.at(-1)).toMatchObject({ code: 1 });
  expect(await agent.stop()).toEqual({ code: 0, signal: null });
  const broken = [
    'users: [{username: a, password: 7777777}]',
    'users: planted-users',
    'tls: {cert: server.pem, key: "-----BEGIN PRIVATE KEY-----planted"}',
    'jwt: {secret: planted-short}',
    'jwt: {keys: "-----BEGIN PUBLIC KEY-----planted"}',
    'jwt: planted-jwt-secret',
    'usersFile: users',
  ];
  const short = 'http: {token: planted-short, adminToken: [planted]}\n';
  write('broken-http.yaml', short);
  said.push(await cli.run(['config', 'check', 'broken-http.yaml']));
  for (const [at, text] of broken.entries()) {
    write(`broken-${at}.yaml`, `mqtt:\n  ${text}\n`);
    said.push(await cli.run(['config', 'check', `broken-${at}.yaml`]));
    expect([text, said.at(-1)?.code]).toEqual([text, 78]);
  }
  said.push(await cli.run(['run', '--config', 'g.yaml']));
  expect(said.at(-1)).toMatchObject({ code: 78 });
  const everything =
    said.map(({ stdout, stderr }) => stdout + stderr).join('') + answers.join('') + agent.stdout();
  for (const told of ['client.connected', 'login.refused', 'its signature is wrong', 'expired']) {
    expect(everything).toContain(told);
  }
  // Of a token already its header would show: {"alg":… in base64url.
  expect(everything).not.toMatch(/planted|7777777|\$scrypt\$|eyJhbG/u);
});
