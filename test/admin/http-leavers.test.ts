import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { HTTP_LIMITS } from '../../src/http-limits.ts';
import { EventReader } from '../support/event-reader.ts';
import { SimClock } from '../support/sim-clock.ts';
import { HttpRig, type HttpRigOptions } from '../support/http-rig.ts';

/** Who asks and is gone before the answer, and who asks and asks and takes no answer. */
let rig: HttpRig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

async function open(options: HttpRigOptions = {}): Promise<HttpRig> {
  rig = await HttpRig.open(options);
  return rig;
}

async function dial({ port }: HttpRig): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

const LISTEN =
  'GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n';

test('listeners that leave before they hear the first status take no room', async () => {
  let asked = 0;
  let answer = (): void => {};
  const measured = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const status = async (): Promise<AgentStatus> => {
    asked++;
    await measured;
    return { gateway: 'gw' } as unknown as AgentStatus;
  };
  const here = await open({ status });
  const sockets: Socket[] = [];
  for (let at = 0; at < HTTP_LIMITS.listeners; at++) {
    const socket = await dial(here);
    socket.write(LISTEN);
    sockets.push(socket);
  }
  await expect.poll(() => asked).toBeGreaterThan(0);
  await here.get('/healthz');
  for (const socket of sockets) socket.destroy();
  await here.get('/healthz');
  await here.get('/healthz');
  answer();
  const response = await here.get('/api/v1/events', { accept: 'text/event-stream' });
  await response.body?.cancel();
  expect(response.status).toBe(200);
});

test('a follower that leaves while the API is loaded takes no room', async () => {
  const here = await open();
  here.log.topic('telemetry');
  const sockets: Socket[] = [];
  for (let at = 0; at < HTTP_LIMITS.recordReaders; at++) {
    const socket = await dial(here);
    socket.write(
      'GET /api/v1/topics/telemetry/records?follow=true HTTP/1.1\r\nhost: localhost\r\n\r\n',
    );
    sockets.push(socket);
  }
  await expect.poll(() => here.loads).toBe(1);
  for (const socket of sockets) socket.destroy();
  await expect
    .poll(async () => (await here.get('/api/v1/topics/telemetry/records')).status)
    .toBe(200);
});

test('requests that are sent one behind the other are answered in their order', async () => {
  const here = await open();
  const socket = await dial(here);
  let answers = '';
  socket.on('data', (chunk: Buffer) => {
    answers += chunk.toString('latin1');
  });
  const paths = ['/healthz', '/nowhere', '/api/v1/topics', '/healthz'];
  socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`).join(''));
  const statuses = (): string[] =>
    [...answers.matchAll(/HTTP\/1\.1 (\d+)/gu)].map(([, code]) => code ?? '');
  await expect.poll(statuses).toEqual(['200', '404', '200', '200']);
  socket.destroy();
});

test('who sends thousands of requests behind each other and takes no answer is hung up on', async () => {
  let asked = 0;
  const status = (): Promise<AgentStatus> => {
    asked++;
    return Promise.resolve({ gateway: 'x'.repeat(100_000) } as unknown as AgentStatus);
  };
  const here = await open({ status });
  const socket = await dial(here);
  socket.write('GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(2000));
  socket.resume();
  await new Promise((resolve) => void socket.once('close', resolve));
  expect(asked).toBeLessThanOrEqual(HTTP_LIMITS.pipelined + 1);
  expect((await here.get('/healthz')).status).toBe(200);
});

test('a status that is not answered is not asked for again and again', async () => {
  let asked = 0;
  const clock = new SimClock();
  const status = (): Promise<AgentStatus> => {
    asked++;
    return new Promise(() => {});
  };
  const here = await open({ status, clock });
  const gone = new AbortController();
  for (let probe = 0; probe < 5; probe++) {
    void fetch(`${here.url}/readyz`, { signal: gone.signal }).catch(() => {});
    expect((await here.get('/healthz')).status).toBe(200);
    await clock.advance(HTTP_LIMITS.liveMs);
  }
  await expect.poll(() => asked).toBe(1);
  expect((await here.get('/healthz')).status).toBe(200);
  gone.abort();
  expect(asked).toBe(1);
});

test('who comes to a gateway with a large status gets the events before, too', async () => {
  const status = (): Promise<AgentStatus> =>
    Promise.resolve({
      gateway: 'x'.repeat(2 * HTTP_LIMITS.liveWaitingBytes),
    } as unknown as AgentStatus);
  const here = await open({ status });
  here.events.note('info', { event: 'before' }, 'before');
  const events = await EventReader.open(`${here.url}/api/v1/events?after=0`);
  here.events.note('info', { event: 'after' }, 'after');
  expect(await events.next('event')).toMatchObject({ event: 'before' });
  events.close();
});
