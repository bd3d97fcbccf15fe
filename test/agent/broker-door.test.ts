import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { Duplex } from 'node:stream';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Door } from '../../src/agent/broker-door.ts';
import { LISTEN_LIMITS } from '../../src/listen-limits.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { listenAt } from '../support/listen.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { runChecked, startProcess } from '../support/process.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';

let folder: string;
const ends: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-door-'));
});
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await stopTestBrokers();
  rmSync(folder, { recursive: true, force: true });
});

interface Visit {
  /** The server's end. */
  readonly taken: Socket;
  readonly admitted: boolean;
}

/** Connections to a door, each with its server's end. */
async function visits(door: Door, count: number, waits: boolean): Promise<Visit[]> {
  const taken: Visit[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.resume();
    taken.push({ taken: socket, admitted: door.admit(socket, waits) });
  });
  ends.push(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  for (let at = 0; at < count; at++) {
    const socket = connect(port, '127.0.0.1');
    ends.push(() => socket.destroy());
    socket.on('error', () => {});
    await once(socket, 'connect');
    await expect.poll(() => taken.length).toBe(at + 1);
  }
  return taken;
}

describe('the door', () => {
  test('a handshake that takes too long is ended, one that came to stand is not', async () => {
    const clock = new SimClock();
    const logger = rememberingLogger();
    const options = { maxConnections: 10, maxConnectionsPerAddress: undefined, clock, logger };
    const door = new Door(options);
    const [first, second] = await visits(door, 2, true);
    if (first === undefined || second === undefined) throw new Error('nobody came');
    door.arrived(first.taken);
    await clock.advance(LISTEN_LIMITS.greetingMs - 1);
    expect(second.taken.destroyed).toBe(false);
    await clock.advance(1);
    expect(second.taken.destroyed).toBe(true);
    expect(first.taken.destroyed).toBe(false);
    expect(door.turnedAway).toBe(1);
    expect(logger.lines.map(({ message }) => message)).toEqual([
      'connection ended: its TLS or WebSocket handshake took too long',
    ]);
  });

  test('one peer at two addresses of ours is two connections', async () => {
    const clock = new SimClock();
    const bounds = { maxConnections: 9, maxConnectionsPerAddress: undefined };
    const door = new Door({ ...bounds, clock, logger: silentLogger });
    const peer = { remoteAddress: '10.0.0.1', remotePort: 4000, localAddress: '10.0.0.2' };
    const sockets = [8883, 9001].map((localPort) =>
      Object.assign(new Duplex(), peer, { localPort }),
    );
    for (const socket of sockets) door.admit(socket as Duplex as Socket, true);
    for (const socket of sockets) door.arrived(socket);
    await clock.advance(LISTEN_LIMITS.greetingMs);
    expect(door.turnedAway).toBe(0);
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, false]);
  });

  test('one that hung up before it was accepted leaves nothing behind', async () => {
    const clock = new SimClock();
    const bounds = { maxConnections: 2, maxConnectionsPerAddress: undefined };
    const door = new Door({ ...bounds, clock, logger: silentLogger });
    for (let at = 0; at < 3; at++) expect(door.admit(new Socket(), true)).toBe(false);
    await clock.advance(LISTEN_LIMITS.greetingMs);
    expect(door.turnedAway).toBe(0);
    expect((await visits(door, 1, true)).map(({ admitted }) => admitted)).toEqual([true]);
  });

  test('half-open connections count, and those that left do not', async () => {
    const clock = new SimClock();
    const bounds = { maxConnections: 2, maxConnectionsPerAddress: undefined };
    const door = new Door({ ...bounds, clock, logger: silentLogger });
    const all = await visits(door, 3, true);
    expect(all.map(({ admitted }) => admitted)).toEqual([true, true, false]);
    all[0]?.taken.destroy();
    await once(all[0]?.taken as Socket, 'close');
    expect((await visits(door, 2, true)).map(({ admitted }) => admitted)).toEqual([true, false]);
  });

  test('a flood of refusals is few lines, and says how many', async () => {
    const clock = new SimClock();
    const logger = rememberingLogger();
    const door = new Door({
      maxConnections: 1,
      maxConnectionsPerAddress: undefined,
      clock,
      logger,
    });
    for (let at = 0; at < 100; at++) door.refuse({ remoteAddress: 'a' }, 'no');
    await clock.advance(LISTEN_LIMITS.refusalLineMs);
    door.refuse({ remoteAddress: 'a' }, 'no');
    expect(logger.lines.map(({ message }) => message)).toEqual([
      'no',
      'no (99 more since the last such line)',
    ]);
    expect(door.turnedAway).toBe(101);
  });

  test('one address has a bound of its own', async () => {
    const { port, broker } = await startTestBroker({ maxConnectionsPerAddress: 2 });
    const first = await RawDevice.connect(port, 5, { clientId: 'a' });
    await RawDevice.connect(port, 5, { clientId: 'b' });
    const third = await RawDevice.dial(port);
    await third.untilClosed();
    first.close();
    await expect.poll(() => broker.counters().connections).toBe(1);
    await RawDevice.connect(port, 5, { clientId: 'c' });
    expect(broker.counters()).toMatchObject({ connections: 2, connectionsRefused: 1 });
  });
});

describe('a Unix socket', () => {
  const at = (file: string): string => `unix://${file}`;
  const listenOn = (file: string): ReturnType<typeof startTestBroker> =>
    startTestBroker({ listen: [listenAt(at(file))] });

  test('is for its user and group, and is gone at a stop', async () => {
    const file = join(folder, 'mqtt.sock');
    const { broker, writer } = await listenOn(file);
    expect(broker.addresses()).toEqual([at(file)]);
    expect(statSync(file).mode & 0o777).toBe(0o660);
    const publish = ['--unix', file, '-t', 'a', '-m', 'local', '-q', '1'];
    await runChecked({ command: 'mosquitto_pub', args: publish }, 10_000);
    expect(writer.values()).toEqual(['local']);
    await broker.stop();
    expect(existsSync(file)).toBe(false);
  });

  test('of a dead process is replaced, of a live one is not', async () => {
    const file = join(folder, 'mqtt.sock');
    const script = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => console.log('up'))`;
    const other = await startProcess({ command: process.execPath, args: ['-e', script] });
    await other.waitFor(/up/u);
    await expect(listenOn(file)).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: `can't listen on ${at(file)}: another process listens there`,
    });
    expect(existsSync(file)).toBe(true);
    await other.kill();
    expect(existsSync(file)).toBe(true);
    const { broker } = await listenOn(file);
    expect(broker.addresses()).toEqual([at(file)]);
  });

  test('replaces nothing else, and says where its folder is missing', async () => {
    const file = join(folder, 'precious');
    writeFileSync(file, 'x');
    await expect(listenOn(file)).rejects.toThrow(
      `${file} is in the way and is no socket: remove it`,
    );
    expect(statSync(file).size).toBe(1);
    const nowhere = join(folder, 'nowhere/mqtt.sock');
    await expect(listenOn(nowhere)).rejects.toThrow(
      `the folder of ${nowhere} does not exist, or may not be written`,
    );
  });
});
