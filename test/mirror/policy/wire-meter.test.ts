import { randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { must } from '../../../src/assert.ts';
import type { AskKernel } from '../../../src/mirror/policy/kernel-sockets.ts';
import { TokenBucket } from '../../../src/mirror/policy/token-bucket.ts';
import { WireMeter } from '../../../src/mirror/policy/wire-meter.ts';
import { systemClock } from '../../../src/time.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Takes everything, and answers each piece with a byte. */
async function listener(): Promise<{ port: number; taken: () => Buffer }> {
  const pieces: Buffer[] = [];
  const server: Server = createServer((peer) => {
    peer.on('error', () => {});
    peer.on('data', (piece: Buffer) => {
      pieces.push(piece);
      peer.write('.');
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  cleanups.push(() => server.close());
  const address = must(server.address(), 'it listens');
  return {
    port: typeof address === 'string' ? 0 : address.port,
    taken: () => Buffer.concat(pieces),
  };
}

function dial(port: number, meter: WireMeter): Socket {
  const socket = connect(port, '127.0.0.1');
  meter.attach(socket);
  socket.on('error', () => {});
  socket.resume();
  cleanups.push(() => socket.destroy());
  return socket;
}

const nobody: AskKernel = () => Promise.resolve(undefined);

function meterOf(bitsPerSecond: number | undefined, askKernel = nobody): WireMeter {
  const bucket = new TokenBucket(systemClock, bitsPerSecond);
  return new WireMeter({ bucket, askKernel, onConnected: () => {} });
}

const ended = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.once('close', () => resolve());
    socket.end();
  });

test.each([undefined, 4_000_000])('every byte arrives in order, at a cap of %s', async (cap) => {
  const { port, taken } = await listener();
  const meter = meterOf(cap);
  const socket = dial(port, meter);
  const data = Array.from({ length: 40 }, (_, index) => randomBytes(1 + index * 97));
  socket.cork();
  for (const part of data.slice(0, 20)) socket.write(part);
  socket.uncork();
  for (const part of data.slice(20)) socket.write(part);
  socket.write('text too');
  await ended(socket);
  const all = Buffer.concat([...data, Buffer.from('text too')]);
  expect(taken().equals(all)).toBe(true);
  expect(meter.bytes).toBeGreaterThan(all.length);
  expect(meter.bytes).toBeLessThan(all.length * 1.2);
  expect(meter.paidBytes() > 0).toBe(cap !== undefined);
  expect(meter.paidBytes()).toBe(0);
});

test('a connection that ends while its writes wait ends at once, and others go on', async () => {
  const { port, taken } = await listener();
  const meter = meterOf(8000);
  const socket = dial(port, meter);
  await new Promise((resolve) => {
    socket.once('connect', resolve);
  });
  // Longer than anybody waits.
  const written = new Promise((resolve) => {
    socket.write(Buffer.alloc(100_000), resolve);
  });
  socket.destroy(new Error('broken'));
  expect(await written).toBeInstanceOf(Error);
  await new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
  const other = dial(port, meter);
  other.write('after');
  await new Promise((resolve) => {
    other.once('data', resolve);
  });
  expect(taken().subarray(-5).toString()).toBe('after');
});

test('what the kernel tells counts, and what goes by afterwards is reckoned by it', async () => {
  const { port } = await listener();
  let told = 0;
  const meter = meterOf(undefined, ([local]) => {
    const count = { sentBytes: told, receivedBytes: 500 };
    return Promise.resolve(new Map([[`${local}:${port}`, count]]));
  });
  const socket = dial(port, meter);
  socket.write(Buffer.alloc(10_000));
  await new Promise((resolve) => {
    socket.once('data', resolve);
  });
  expect(meter.isTold).toBe(false);
  const reckoned = meter.bytes;
  told = reckoned * 2 - 500;
  await meter.askKernel();
  expect(meter.isTold).toBe(true);
  expect(meter.bytes).toBeGreaterThanOrEqual(reckoned * 2);
  const before = meter.bytes;
  socket.write(Buffer.alloc(14_480));
  await new Promise((resolve) => {
    socket.once('data', resolve);
  });
  // As far off as it was found to be.
  expect(meter.bytes - before).toBeGreaterThan(14_480 * 1.9);
  const last = meter.bytes;
  await ended(socket);
  expect(meter.bytes).toBeGreaterThan(last);
  expect(meter.ends).toEqual([]);
});
