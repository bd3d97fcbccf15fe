import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resetSocket } from '../../../src/cli/demo/reset-socket.ts';

let server: Server;
let near: Socket;
let far: Socket;
/** What `near` told: `close`, or an error's message. */
let told: string[];

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  far.on('error', () => {});
  [near] = await accepted;
  told = [];
  near.on('error', (error) => told.push(error.message));
  near.on('close', () => told.push('close'));
});

afterEach(() => {
  far.destroy();
  near.destroy();
  server.close();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const before: readonly (readonly [string, () => unknown])[] = [
  ['while nothing is under way', () => {}],
  ['in the turn in which it was ended', () => near.end()],
  ['when it has been ended', () => turnAfter(() => near.end())],
  ['when it was written to and ended', () => near.end('x')],
  ['while the peer does not read', () => near.write(Buffer.alloc(50_000_000))],
  ['while the peer does not read, ended', () => near.end(Buffer.alloc(50_000_000))],
];

async function turnAfter(act: () => unknown): Promise<void> {
  act();
  await turn();
}

test.for(before)('closes %s', async ([, act]) => {
  await act();
  resetSocket(near);
  await expect.poll(() => told).toEqual(['close']);
});

test('the peer sees a reset', async () => {
  const failed = once(far, 'error');
  far.resume();
  resetSocket(near);
  expect(await failed).toMatchObject([{ code: 'ECONNRESET' }]);
});

test('closes what is still connecting', async () => {
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  const closed = once(socket, 'close');
  resetSocket(socket);
  await closed;
  expect(socket.destroyed).toBe(true);
});
