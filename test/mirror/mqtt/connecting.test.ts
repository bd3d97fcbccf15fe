import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createMqttUpstream } from '../../../src/mirror/mqtt/mqtt-upstream.ts';
import { OwnRecords } from '../../../src/mirror/mqtt/own-records.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { handshakesOf } from '../../support/handshakes.ts';
import { MemoryLog } from '../../support/memory-log.ts';

/** A far side of before MQTT 5, whose old session is ended by a connection of its own. */
const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Takes connections, and nothing after their first packet: as a link that dies then. */
async function deafServer(): Promise<{ readonly port: number; readonly sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.write(CONNACK));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

test('a link that dies while an old session is being ended holds nobody up', async () => {
  const { port, sockets } = await deafServer();
  const log = new MemoryLog();
  const { reader, keyValue } = log;
  const upstream = createMqttUpstream({
    url: `mqtt://127.0.0.1:${port}`,
    gateway: 'gw',
    incarnation: 'abc',
    protocol: '3.1.1',
    qos: 2,
    own: new OwnRecords(keyValue, reader),
    handshakes: handshakesOf(keyValue, reader, log.positions()),
    clock: systemClock,
    logger: silentLogger,
  });
  const { signal } = new AbortController();
  const quarantine = () => Promise.resolve();
  const session = await upstream.connect([], signal, { seek: new Map(), quarantine });
  expect(sockets).toHaveLength(2);
  await session.close();
});
