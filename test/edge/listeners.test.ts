import { once } from 'node:events';
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { connectAsync, type IClientOptions } from 'mqtt';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { systemCodeOf } from '../../src/errors.ts';
import { CliFolder } from '../support/cli.ts';
import { type Finished, runProcess, type Running } from '../support/process.ts';
import {
  makeDeviceCertificate,
  makeServerCertificate,
  type PemFiles,
} from '../support/server-certificate.ts';

/** Every way in, with a real agent and real clients. */
let cli: CliFolder;
let server: PemFiles;
let agent: Running;
beforeEach(async () => {
  cli = new CliFolder();
  server = await makeServerCertificate(cli.folder, 'server', 90);
});
afterEach(() => cli.remove());

const TLS = '  tls: {cert: server.pem, key: server.key}\n';

/** Its listeners, with the ports really taken. */
async function start(mqtt: string): Promise<string[]> {
  writeFileSync(path.join(cli.folder, 'gatelog.yaml'), `gateway: g\nmqtt:\n${mqtt}`);
  agent = await cli.start(['run', '--config', 'gatelog.yaml']);
  const [, listeners = ''] = await agent.waitFor(/"listeners":(\["(?:mqtt|ws|unix)[^\]]*\])/u);
  return JSON.parse(listeners) as string[];
}

async function status(): Promise<AgentStatus> {
  return JSON.parse((await cli.run(['status', '--json'])).stdout) as AgentStatus;
}

async function logged(): Promise<string[]> {
  const { stdout } = await cli.run(['consume', 'telemetry', '--json']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => (JSON.parse(line) as { value: string }).value).toSorted();
}

function publish(url: string, value: string, ...more: string[]): Promise<Finished> {
  const { hostname, port } = new URL(url);
  const where = ['-h', hostname, '-p', port, '-V', 'mqttv5', ...more];
  const args = [...where, '-t', 'a', '-q', '1', '-m', value];
  return runProcess({ command: 'mosquitto_pub', args }, 20_000);
}

/** The server hangs up. */
function ended(port: number, bytes: string): Promise<unknown> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes, 'latin1');
  return once(socket.resume(), 'close');
}

/** The version of TLS that came to stand, or why none did. */
function handshake(url: string, options: ConnectionOptions): Promise<string> {
  const { hostname, port } = new URL(url);
  const where = { host: hostname, port: Number(port), rejectUnauthorized: false };
  return new Promise((resolve) => {
    const socket = connectTls({ ...where, ...options }, () => {
      resolve(socket.getProtocol() ?? '');
      socket.destroy();
    });
    socket.once('error', (error) => resolve(systemCodeOf(error) ?? ''));
  });
}

describe('TLS', () => {
  test('mosquitto_pub and mosquitto_sub, each as old as is allowed', async () => {
    const [url = ''] = await start(`  listen: ["mqtts://127.0.0.1:0"]\n${TLS}`);
    expect(url).toMatch(/^mqtts:\/\/127\.0\.0\.1:\d+$/u);
    const ca = ['--cafile', server.cert, '-r'];
    expect(await publish(url, 'new', ...ca)).toMatchObject({ code: 0 });
    expect(await publish(url, 'old', ...ca, '--tls-version', 'tlsv1.2')).toMatchObject({ code: 0 });
    const old = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    expect(await handshake(url, { ...old, maxVersion: 'TLSv1.1' })).toMatch(/PROTOCOL_VERSION/u);
    const cbc = {
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256',
    } as const;
    expect(await handshake(url, cbc)).toMatch(/HANDSHAKE_FAILURE/u);
    expect(await handshake(url, { maxVersion: 'TLSv1.2' })).toBe('TLSv1.2');
    expect((await publish(url, 'plain')).code).not.toBe(0);
    const where = ['-h', '127.0.0.1', '-p', new URL(url).port, '--cafile', server.cert];
    const args = [...where, '-t', 'a', '-C', '1', '-W', '20'];
    const heard = await runProcess({ command: 'mosquitto_sub', args }, 30_000);
    expect(heard).toMatchObject({ code: 0, stdout: 'old\n' });
    expect(await logged()).toEqual(['new', 'old']);
    // What did not come to stand was counted, and each reason said once.
    expect((await status()).ingest?.connectionsRefused).toBeGreaterThanOrEqual(3);
    const lines = agent.stdout().match(/^.*"event":"connection\.refused".*$/gmu) ?? [];
    const reasons = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(reasons).toContain('no TLS connection: it does not speak TLS');
    expect(new Set(reasons).size).toBe(reasons.length);
  });

  test('with certificates of devices: only those of the one CA come in', async () => {
    const ca = await makeServerCertificate(cli.folder, 'devices-ca', 9);
    const device = await makeDeviceCertificate(cli.folder, 'press-1', ca);
    const stranger = await makeServerCertificate(cli.folder, 'stranger', 9);
    const tls = '{cert: server.pem, key: server.key, ca: devices-ca.pem, requireCertificate: true}';
    const [url = ''] = await start(`  listen: ["mqtts://127.0.0.1:0"]\n  tls: ${tls}\n`);
    const trust = ['--cafile', server.cert];
    const shown = ({ cert, key }: PemFiles): string[] => ['--cert', cert, '--key', key];
    expect(await publish(url, 'known', ...trust, ...shown(device))).toMatchObject({ code: 0 });
    expect((await publish(url, 'none', ...trust)).code).not.toBe(0);
    expect((await publish(url, 'foreign', ...trust, ...shown(stranger))).code).not.toBe(0);
    expect(await logged()).toEqual(['known']);
    expect(agent.stdout()).toContain('no TLS connection: the device showed no certificate');
  });

  test('a new certificate is taken on SIGHUP, and no connection ends; a broken one is not taken', async () => {
    const [url = '', webUrl = ''] = await start(
      `  listen: ["mqtts://127.0.0.1:0", "wss://127.0.0.1:0"]\n${TLS}`,
    );
    const options: IClientOptions = { rejectUnauthorized: false, reconnectPeriod: 0 };
    const standing = [await connectAsync(url, options), await connectAsync(webUrl, options)];
    let closed = 0;
    for (const client of standing) client.on('close', () => closed++);
    const next = await makeServerCertificate(cli.folder, 'next', 20);
    const before = [...(await status()).certificates];
    expect(before).toMatchObject([{ state: 'good', listeners: [url, webUrl], trouble: null }]);
    copyFileSync(next.cert, server.cert);
    agent.signal('SIGHUP');
    await agent.waitFor(/"event":"certificate\.unusable".*is not the key of the certificate/u);
    expect(await publish(url, 'still the old', '--cafile', next.cert)).not.toMatchObject({
      code: 0,
    });
    expect((await cli.run(['status'])).stdout).toMatch(
      /^tls +the certificate from before is in use/mu,
    );
    copyFileSync(next.key, server.key);
    agent.signal('SIGHUP');
    await agent.waitFor(/"event":"certificate\.new"/u);
    expect(await publish(url, 'new', '--cafile', next.cert)).toMatchObject({ code: 0 });
    for (const client of standing) await client.publishAsync('a', 'standing', { qos: 1 });
    expect(closed).toBe(0);
    expect((await status()).certificates).toMatchObject([{ state: 'expiring', trouble: null }]);
    expect((await cli.run(['status'])).stdout).toMatch(/^tls +.*server\.pem expires in 19d/mu);
    expect(await logged()).toEqual(['new', 'standing', 'standing']);
    for (const client of standing) await client.endAsync(true);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
  });
});

test.each([3, 4, 5] as const)('MQTT.js, version %i, over ws and wss', async (version) => {
  const urls = await start(`  listen: ["ws://127.0.0.1:0/mqtt", "wss://127.0.0.1:0"]\n${TLS}`);
  const protocol = version === 3 ? { protocolId: 'MQIsdp' as const } : {};
  const payloads = [1, 65_536, 900_000].map((size) => Buffer.alloc(size, 'x'));
  for (const url of urls) {
    const options = { protocolVersion: version, ...protocol, rejectUnauthorized: false };
    const client = await connectAsync(url, { ...options, clientId: 'page', reconnectPeriod: 0 });
    const sizes: number[] = [];
    client.on('message', (_, payload) => sizes.push(payload.length));
    await client.subscribeAsync('#', { qos: 1 });
    for (const payload of payloads) await client.publishAsync('a', payload, { qos: 1 });
    await expect.poll(() => sizes).toEqual(payloads.map(({ length }) => length));
    await client.endAsync();
  }
  expect(await logged()).toHaveLength(2 * payloads.length);
});

test('a Unix socket outlives a kill, and is gone after a stop', async () => {
  const file = path.join(cli.folder, 'mqtt.sock');
  const mqtt = `  listen: ["unix://${file}"]\n`;
  const say = (value: string): Promise<Finished> =>
    runProcess({
      command: 'mosquitto_pub',
      args: ['--unix', file, '-t', 'a', '-q', '1', '-m', value],
    });
  await start(mqtt);
  expect(await say('one')).toMatchObject({ code: 0 });
  await agent.kill();
  expect(existsSync(file)).toBe(true);
  expect(await start(mqtt)).toEqual([`unix://${file}`]);
  expect(await say('two')).toMatchObject({ code: 0 });
  expect(await logged()).toEqual(['one', 'two']);
  await agent.stop();
  expect(existsSync(file)).toBe(false);
});

describe('doors', () => {
  test('an address that is open by mistake is not listened on, and config check says so too', async () => {
    writeFileSync(path.join(cli.folder, 'open.yaml'), 'mqtt:\n  listen: ["mqtt://0.0.0.0:0"]\n');
    const said =
      'gatelog: open.yaml:2:12: mqtt.listen[0]: expected mqtt.users, mqtt.usersFile, mqtt.jwt, tls.requireCertificate or ' +
      'allowAnonymous: true, found none of them: anybody who reaches mqtt://0.0.0.0:0 could publish ' +
      'and read. Name users, or write allowAnonymous: true if that is meant\n';
    const refused = { code: 78, stdout: '', stderr: said };
    expect(await cli.run(['run', '--config', 'open.yaml'])).toMatchObject(refused);
    expect(await cli.run(['config', 'check', 'open.yaml'])).toMatchObject(refused);
    const flag = await cli.run(['run', '--mqtt', 'mqtt://0.0.0.0:0']);
    expect(flag).toMatchObject({ code: 78, stdout: '' });
    expect(flag.stderr).toContain('--allow-anonymous');
    const open = await cli.start(['run', '--mqtt', 'mqtt://0.0.0.0:0', '--allow-anonymous']);
    const [, url = ''] = await open.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    expect(await publish(url.replace('0.0.0.0', '127.0.0.1'), 'x')).toMatchObject({ code: 0 });
  });

  test('with users nobody comes in without a name but where that is written', async () => {
    const file = path.join(cli.folder, 'mqtt.sock');
    const [url = '', open = ''] = await start(
      `  listen:\n    - mqtt://127.0.0.1:0\n    - {url: "mqtt://127.0.0.2:0", allowAnonymous: true}\n` +
        `    - unix://${file}\n  users: [{username: press, password: hush}]\n  acl: open\n`,
    );
    const right = ['-u', 'press', '-P', 'hush'];
    const wrong = ['-u', 'press', '-P', 'guess'];
    const unix = ['--unix', file];
    expect((await publish(url, 'no name')).code).not.toBe(0);
    expect((await publish(url, 'wrong', ...wrong)).code).not.toBe(0);
    expect((await publish(url, 'no name', ...unix)).code).not.toBe(0);
    expect((await publish(open, 'wrong', ...wrong)).code).not.toBe(0);
    expect(await publish(url, '1', ...right)).toMatchObject({ code: 0 });
    expect(await publish(url, '2', ...unix, ...right)).toMatchObject({ code: 0 });
    expect(await publish(open, '3')).toMatchObject({ code: 0 });
    expect(await publish(open, '4', ...right)).toMatchObject({ code: 0 });
    expect(await logged()).toEqual(['1', '2', '3', '4']);
  });

  test('who comes in and says nothing, or half of it, is let go', async () => {
    const urls = await start(
      `  listen: ["mqtt://127.0.0.1:0", "mqtts://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0"]\n${TLS}`,
    );
    const halves = [
      '',
      '\x10\x20\x00\x04MQ',
      'GET /mqtt HTTP/1.1\r\nupgrade: websocket\r\n',
      '\x16\x03\x01',
    ];
    const ends = urls.flatMap((url) =>
      halves.map((half) => ended(Number(new URL(url).port), half)),
    );
    // One that speaks TLS, and then nothing.
    const secured = connectTls({
      host: '127.0.0.1',
      port: Number(new URL(urls[3] ?? '').port),
      rejectUnauthorized: false,
    });
    ends.push(once(secured.resume(), 'close'));
    await Promise.all(ends);
    expect((await status()).ingest).toMatchObject({ connections: 0, received: 0 });
  });

  test('config check reads the certificates', async () => {
    const file = path.join(cli.folder, 'gatelog.yaml');
    const mqtt = (cert: string): string =>
      `mqtt:\n  listen: ["mqtts://localhost"]\n  tls: {cert: ${cert}, key: server.key}\n`;
    writeFileSync(file, mqtt('server.pem'));
    expect(await cli.run(['config', 'check', 'gatelog.yaml'])).toMatchObject({
      code: 0,
      stderr: '',
    });
    writeFileSync(file, mqtt('nowhere.pem'));
    expect(await cli.run(['config', 'check', 'gatelog.yaml'])).toMatchObject({
      code: 78,
      stderr: `gatelog: gatelog.yaml:2:12: mqtt.listen[0].tls: ${path.join(cli.folder, 'nowhere.pem')} can't be read: there is no such file\n`,
    });
    writeFileSync(
      file,
      'http:\n  listen: ["https://127.0.0.1:0"]\n  tls: {cert: nowhere.pem, key: server.key}\n',
    );
    expect(await cli.run(['config', 'check', 'gatelog.yaml'])).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(
        /gatelog\.yaml:3:\d+: http\.tls: .*nowhere\.pem can't be read/u,
      ),
    });
    await makeServerCertificate(cli.folder, 'server', 3);
    writeFileSync(file, mqtt('server.pem'));
    const soon = await cli.run(['config', 'check', 'gatelog.yaml']);
    expect(soon.code).toBe(0);
    expect(soon.stderr).toMatch(/warning: .*server\.pem expires at /u);
  });
});
