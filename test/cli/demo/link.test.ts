import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Link } from '../../../src/cli/demo/link.ts';

let server: Server;
let link: Link;
let served: Socket[];
let client: Socket | undefined;

beforeEach(async () => {
  served = [];
  server = createServer((socket) => {
    served.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => socket.write(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  link = await Link.open((server.address() as AddressInfo).port);
});

afterEach(async () => {
  client?.destroy();
  for (const socket of served) socket.destroy();
  await link.close();
  server.close();
});

interface Caller {
  readonly socket: Socket;
  received: string;
  ended: boolean;
}

function call(): Caller {
  const socket = connect(link.port, '127.0.0.1');
  client = socket;
  const caller: Caller = { socket, received: '', ended: false };
  socket.on('data', (bytes: Buffer) => {
    caller.received += bytes.toString('utf8');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    caller.ended = true;
  });
  return caller;
}

test('passes bytes both ways, also more than a socket buffers', async () => {
  const caller = call();
  const text = 'x'.repeat(3_000_000);
  caller.socket.write(text);
  await expect.poll(() => caller.received.length).toBe(text.length);
  expect(link.bytesUp).toBe(text.length);
  expect(link.bytesDown).toBe(text.length);
});

test('an end is passed on', async () => {
  const caller = call();
  caller.socket.end('last words');
  await expect.poll(() => caller.ended).toBe(true);
  expect(caller.received).toBe('last words');
});

test('cut: what is open is reset, what comes too, until it is up again', async () => {
  const before = call();
  before.socket.write('a');
  await expect.poll(() => before.received).toBe('a');
  link.set('cut');
  await expect.poll(() => before.ended).toBe(true);
  const during = call();
  await expect.poll(() => during.ended).toBe(true);
  expect(during.received).toBe('');
  link.set('up');
  const after = call();
  after.socket.write('b');
  await expect.poll(() => after.received).toBe('b');
});

test('black hole: nothing arrives and nothing is refused, then all flows on in order', async () => {
  const before = call();
  before.socket.write('1');
  await expect.poll(() => before.received).toBe('1');
  link.set('black-hole');
  before.socket.write('2');
  const during = call();
  during.socket.write('3');
  await once(during.socket, 'connect');
  expect(served).toHaveLength(1);
  before.socket.write('4');
  link.set('up');
  await expect.poll(() => before.received).toBe('124');
  await expect.poll(() => during.received).toBe('3');
  before.socket.destroy();
});

test('a far side that is gone ends the connection', async () => {
  const caller = call();
  caller.socket.write('a');
  await expect.poll(() => caller.received).toBe('a');
  server.close();
  for (const socket of served) socket.resetAndDestroy();
  await expect.poll(() => caller.ended).toBe(true);
  const late = call();
  await expect.poll(() => late.ended).toBe(true);
});
