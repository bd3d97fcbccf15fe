import mqtt from 'mqtt';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MqttUpstreamOptions } from '../../src/mirror/mqtt/mqtt-upstream.ts';
import { type Certificates, makeCertificates } from '../support/kafka/certificates.ts';
import { freePorts } from '../support/ports.ts';
import { runChecked } from '../support/process.ts';
import { add, broker, cleanups, listen, mirrorTo, patience, telemetry } from './mqtt-rig.ts';

/** Every way into a broker, and what must be kept on it: a real Mosquitto. */
let folder: string;
let made: Certificates;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-mqtt-kinds-'));
  made = await makeCertificates(join(folder, 'tls'), 'gw');
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pem = (file: string): string => readFileSync(file, 'utf8');

/** What the broker passes on of 300 records, in its order. */
async function arrivals(
  url: string,
  port: number,
  options: Partial<MqttUpstreamOptions>,
): Promise<number[]> {
  const heard = await listen(port);
  const { log, mirror } = mirrorTo(url, options);
  const stream = telemetry(log);
  for (let index = 0; index < 300; index++) add(log, stream, `plant/${index % 7}`, String(index));
  await mirror.start();
  await expect.poll(() => heard.length, patience).toBe(300);
  expect(heard.at(-1)?.id).toBe('gw/abc/telemetry/0/299');
  await expect
    .poll(() => mirror.status(), patience)
    .toMatchObject({ state: 'live', reconnects: 0 });
  return heard.map(({ text }) => Number(text));
}

const ALL = Array.from({ length: 300 }, (_, at) => at);

describe('ways in', () => {
  test.each([['ws'], ['wss']] as const)('WebSocket (%s), with a path', async (scheme) => {
    const [web = 0] = await freePorts(1);
    const tls =
      scheme === 'ws'
        ? []
        : [`certfile ${made.server}`, `keyfile ${join(folder, 'tls/server.key')}`];
    const { port } = await broker({
      lines: [`listener ${web}`, 'protocol websockets', ...tls, 'allow_anonymous true'],
    });
    expect(
      await arrivals(`${scheme}://127.0.0.1:${web}/mqtt`, port, { tls: { ca: pem(made.ca) } }),
    ).toEqual(ALL);
  });

  test('a client certificate (mTLS); without one the text says what is wanted', async () => {
    const [secure = 0] = await freePorts(1);
    const { port } = await broker({
      lines: [
        'allow_anonymous true',
        `listener ${secure} 127.0.0.1`,
        `cafile ${made.ca}`,
        `certfile ${made.server}`,
        `keyfile ${join(folder, 'tls/server.key')}`,
        'require_certificate true',
      ],
    });
    const url = `mqtts://127.0.0.1:${secure}`;
    const ca = pem(made.ca);
    const own = { ca, cert: pem(made.clientCertificate), key: pem(made.clientKey) };
    expect(await arrivals(url, port, { tls: own })).toEqual(ALL);
    const without = mirrorTo(url, { tls: { ca }, clientId: 'without' });
    telemetry(without.log);
    await without.mirror.start();
    await expect
      .poll(() => without.mirror.status(), patience)
      .toMatchObject({
        state: 'refused',
        reason: expect.stringMatching(
          /refuses our client certificate.*set tls\.cert and tls\.key/u,
        ) as string,
      });
  });

  test('user name and password', async () => {
    const made2 = await broker({ files: { passwords: '' }, lines: ['allow_anonymous true'] });
    const file = join(made2.folder, 'given');
    await runChecked({ command: 'mosquitto_passwd', args: ['-b', '-c', file, 'gw', 'secret'] });
    const { port, url } = await broker({
      lines: ['allow_anonymous false', `password_file ${file}`],
    });
    const login = { username: 'gw', password: 'secret' };
    const heard = await listen(port, login);
    const { log, mirror } = mirrorTo(url, login);
    add(log, telemetry(log), 'a', 'x');
    await mirror.start();
    await expect.poll(() => heard.map(({ text }) => text), patience).toEqual(['x']);
  });
});

describe('QoS 2', () => {
  test('is asked for, answered and in order, also with a small Receive Maximum', async () => {
    const { port, url, process } = await broker({
      lines: ['allow_anonymous true', 'max_inflight_messages 3', 'max_queued_messages 0'],
    });
    expect(await arrivals(url, port, { qos: 2 })).toEqual(ALL);
    expect(process.stderr()).toMatch(/Received PUBREL from gatelog-gw/u);
    expect(process.stderr()).not.toMatch(/Received PUBLISH from gatelog-gw \(d\d, q1/u);
  });

  test('of a far side that takes 1 at most falls back to it, and says so', async () => {
    const { port, url, process } = await broker({ lines: ['allow_anonymous true', 'max_qos 1'] });
    expect(await arrivals(url, port, { qos: 2 })).toEqual(ALL);
    expect(process.stderr()).toMatch(/Received PUBLISH from gatelog-gw \(d0, q1/u);
  });
});

test('a retained message is retained there, and one that was cleared is cleared there', async () => {
  const { port, url } = await broker();
  const { log, mirror } = mirrorTo(url);
  const stream = telemetry(log);
  add(log, stream, 'state/a', 'on', ['retain']);
  add(log, stream, 'state/b', 'on', ['retain']);
  add(log, stream, 'state/b', '', ['retain']);
  add(log, stream, 'event', 'x');
  await mirror.start();
  await expect
    .poll(() => mirror.status(), patience)
    .toMatchObject({ state: 'live', lagRecords: 0 });
  const late = mqtt.connect({ host: '127.0.0.1', port, protocolVersion: 5 });
  cleanups.push(() => late.endAsync(true));
  const seen: string[] = [];
  late.on('message', (topic, payload, { retain }) =>
    seen.push(`${topic} ${payload.toString()} ${retain}`),
  );
  await late.subscribeAsync('#', { qos: 1 });
  await late.publishAsync('over', 'x', { qos: 1 });
  await expect.poll(() => seen.at(-1), patience).toBe('over x false');
  expect(seen.slice(0, -1)).toEqual(['state/a on true']);
});
