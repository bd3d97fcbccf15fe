import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { connectAsync } from 'mqtt';
import { generate } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { firstAltName } from '../../src/agent/certificate-user.ts';
import { listenAt } from '../support/listen.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import {
  makeDeviceCertificate,
  makeServerCertificate,
  type PemFiles,
} from '../support/server-certificate.ts';
import { rememberingLogger } from '../support/store-kit.ts';

let folder: string;
let server: PemFiles;
let device: PemFiles;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-certificate-user-'));
  server = await makeServerCertificate(folder, 'server', 90);
  device = await makeDeviceCertificate(folder, 'press-1', server, 'IP:192.0.2.1,DNS:press.plant');
});
afterEach(stopTestBrokers);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const logger = rememberingLogger();

function start(scheme: string, user: 'cn' | 'san'): Promise<TestBroker> {
  const tls = {
    ...server,
    passphrase: undefined,
    ca: server.cert,
    requireCertificate: true,
    user,
    minVersion: 'TLSv1.2',
  } as const;
  const listen = [listenAt(`${scheme}://127.0.0.1:0`, { tls })];
  return startTestBroker({ listen, users: [{ username: 'pump', password: 'x' }], logger });
}

function names(): unknown[] {
  return logger.lines
    .filter(({ message }) => message === 'a client connected')
    .map(({ fields }) => fields['user']);
}

function credentials(): { ca: Buffer; cert: Buffer; key: Buffer } {
  const { cert, key } = device;
  return { ca: readFileSync(server.cert), cert: readFileSync(cert), key: readFileSync(key) };
}

describe.each([
  ['mqtts', 'cn', 'press-1'],
  ['wss', 'cn', 'press-1'],
  ['mqtts', 'san', 'press.plant'],
] as const)('%s, %s', (scheme, from, name) => {
  test('the certificate says who it is, whatever the device says', async () => {
    const { url } = await start(scheme, from);
    for (const login of [{}, { username: 'pump', password: 'wrong' }]) {
      const options = { ...credentials(), ...login, reconnectPeriod: 0 };
      const client = await connectAsync(url, { ...options, protocolVersion: 5 });
      expect(names().at(-1)).toBe(name);
      await client.endAsync(true);
    }
  });
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  '%s: also in a session that is resumed',
  async (version) => {
    const { port } = await start('mqtts', 'cn');
    const options = {
      ...credentials(),
      port,
      host: '127.0.0.1',
      minVersion: version,
      maxVersion: version,
    };
    const first = connect(options);
    const ticket = once(first, 'session');
    expect(await returnCode(first)).toBe(0);
    const [session] = (await ticket) as [Buffer];
    const { length } = names();
    const second = connect({ ...options, session });
    await once(second, 'secureConnect');
    expect(second.isSessionReused()).toBe(true);
    expect(await returnCode(second)).toBe(0);
    expect(names().slice(length)).toEqual(['press-1']);
  },
);

test('a certificate without such a name lets nobody in', async () => {
  device = await makeDeviceCertificate(folder, 'press-1', server);
  const { port, broker } = await start('mqtts', 'san');
  expect(await returnCode(connect({ ...credentials(), port, host: '127.0.0.1' }))).toBe(5);
  expect(broker.counters().connectionsRefused).toBe(1);
});

test('nor one whose name holds control characters', async () => {
  device = await makeDeviceCertificate(folder, 'press\u001B[2J', server);
  const { port } = await start('mqtts', 'cn');
  expect(await returnCode(connect({ ...credentials(), port, host: '127.0.0.1' }))).toBe(5);
});

/** Of CONNACK. */
async function returnCode(socket: TLSSocket): Promise<number | undefined> {
  socket.write(
    generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'd',
      clean: true,
    }),
  );
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer[3];
}

test.each([
  ['DNS:a.b, DNS:c', 'a.b'],
  ['IP Address:192.0.2.1, URI:urn:dev:1', 'urn:dev:1'],
  ['email:a@b', 'a@b'],
  ['IP Address:192.0.2.1', undefined],
  ['DNS:"a, DNS:b"', undefined],
  ['', undefined],
])('of %j the name is %s', (text, name) => {
  expect(firstAltName(text)).toBe(name);
});
