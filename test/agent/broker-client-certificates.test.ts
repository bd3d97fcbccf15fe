import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { listenAt } from '../support/listen.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import {
  makeDeviceCertificate,
  makeServerCertificate,
  type PemFiles,
} from '../support/server-certificate.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** What is told of a device whose certificate is not good. */
let folder: string;
let server: PemFiles;
const devices: Record<string, PemFiles> = {};
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-client-certificates-'));
  server = await makeServerCertificate(folder, 'server', 100);
  const other = await makeServerCertificate(folder, 'other', 100);
  devices['expired'] = await makeDeviceCertificate(folder, 'expired', server, undefined, -1);
  devices['another'] = await makeDeviceCertificate(folder, 'another', other);
});
afterEach(stopTestBrokers);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ['expired', 'TLSv1.2', 'the device’s certificate has expired'],
  ['expired', 'TLSv1.3', 'the device’s certificate has expired'],
  ['another', 'TLSv1.3', 'the device’s certificate is of another CA'],
  ['none', 'TLSv1.3', 'the device showed no certificate'],
] as const)('%s, %s: %s', async (which, maxVersion, why) => {
  const logger = rememberingLogger();
  const rest = { passphrase: undefined, user: undefined, minVersion: 'TLSv1.2' } as const;
  const tls = { ...server, ca: server.cert, requireCertificate: true, ...rest };
  const listen = [listenAt('mqtts://127.0.0.1:0', { tls })];
  const { port, broker } = await startTestBroker({ listen, logger });
  const shown = devices[which];
  const own =
    shown === undefined ? {} : { cert: readFileSync(shown.cert), key: readFileSync(shown.key) };
  const where = { host: '127.0.0.1', port, rejectUnauthorized: false, maxVersion };
  const device = connectTls({ ...where, ...own });
  device.on('error', () => {});
  device.resume();
  await new Promise((resolve) => device.once('close', resolve));
  const told = (): unknown[] => logger.lines.map(({ message, fields }) => [message, fields]);
  const fields = { event: 'connection.refused', from: '127.0.0.1' };
  await expect.poll(told).toEqual([[`no TLS connection: ${why}`, fields]]);
  expect(broker.counters().connectionsRefused).toBe(1);
});

test('who hangs up in its handshake is told of once, who says nothing not at all', async () => {
  const logger = rememberingLogger();
  const rest = { passphrase: undefined, user: undefined, minVersion: 'TLSv1.2' } as const;
  const tls = { ...server, ca: undefined, requireCertificate: false, ...rest };
  const { port, broker } = await startTestBroker({
    listen: [listenAt('mqtts://127.0.0.1:0', { tls })],
    logger,
  });
  for (const bytes of [[], [0x16, 3, 1]]) {
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    if (bytes.length > 0) socket.write(Buffer.from(bytes));
    socket.end();
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  }
  await expect.poll(() => broker.counters().connectionsRefused).toBe(1);
  expect(logger.lines.map(({ message }) => message)).toEqual([
    'no TLS connection: the device hung up',
  ]);
});
