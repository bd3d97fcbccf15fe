import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { HTTP_LIMITS } from '../../src/http-limits.ts';
import { HttpRig, READ_TOKEN } from '../support/http-rig.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';
import { SimClock } from '../support/sim-clock.ts';

/** The sockets of the HTTP side. */
const ending: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

async function open(options: ConstructorParameters<typeof HttpRig>[0] = {}): Promise<HttpRig> {
  const rig = await HttpRig.open(options);
  ending.push(() => rig.close());
  return rig;
}

/** What is answered to bytes as they are. */
async function answerTo(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('utf8');
  });
  socket.on('error', () => {});
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

async function takePort(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('it listens');
  return { server, port: address.port };
}

test('nothing is loaded before somebody asks, and then once', async () => {
  const rig = await open();
  const socket = connect(rig.port, '127.0.0.1');
  await once(socket, 'connect');
  expect(rig.loads).toBe(0);
  socket.destroy();
  await Promise.all([rig.get('/healthz'), rig.get('/healthz'), rig.get('/healthz')]);
  expect(rig.loads).toBe(1);
});

test('a port that is taken is said once and tried again', async () => {
  const { server, port } = await takePort();
  const clock = new SimClock();
  const rig = await open({ clock, config: { listen: [`http://127.0.0.1:${port}`] } });
  expect(rig.door.status()).toEqual({
    listeners: [],
    trouble: `can't listen on http://127.0.0.1:${port}: another program has this port (http.listen names another, http: false none)`,
  });
  await clock.advance(HTTP_LIMITS.listenRetryMs);
  const warnings = (): number => rig.logger.lines.filter(({ level }) => level === 'warn').length;
  await expect.poll(warnings).toBe(1);
  server.close();
  await once(server, 'close');
  await expect
    .poll(async () => {
      await clock.advance(HTTP_LIMITS.listenRetryMs);
      return rig.door.status();
    })
    .toEqual({ listeners: [`http://127.0.0.1:${port}`], trouble: null });
  expect((await rig.get('/healthz')).status).toBe(200);
  expect(warnings()).toBe(1);
});

test('a certificate that is not there is no reason not to serve devices', async () => {
  const tls = {
    cert: '/nowhere/a.pem',
    key: '/nowhere/a.key',
    passphrase: undefined,
    ca: undefined,
    requireCertificate: false,
    user: undefined,
    minVersion: 'TLSv1.2',
  } as const;
  const rig = await open({ config: { listen: ['https://127.0.0.1:0'], tls } });
  expect(rig.door.status().trouble).toContain('/nowhere/a.pem');
});

test('what is no HTTP, or too much of it, gets problem details too', async () => {
  const rig = await open();
  for (const [bytes, status] of [
    ['GARBAGE\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(HTTP_LIMITS.headerBytes)}\r\n\r\n`, 431],
    [
      'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\ntransfer-encoding: x\r\ncontent-length: 1\r\n\r\n',
      400,
    ],
  ] as const) {
    const answer = await answerTo(rig.port, bytes);
    expect(answer).toContain(`HTTP/1.1 ${status} `);
    const [, body = ''] = answer.split('\r\n\r\n');
    expect(JSON.parse(body)).toMatchObject({ type: 'about:blank', status });
  }
});

test('connections are bounded, and those beyond are closed at once', async () => {
  const rig = await open();
  const sockets: Socket[] = [];
  ending.push(() => sockets.forEach((socket) => socket.destroy()));
  for (let at = 0; at < HTTP_LIMITS.connections; at++) {
    const socket = connect(rig.port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
  }
  const beyond = connect(rig.port, '127.0.0.1');
  beyond.on('error', () => {});
  beyond.resume();
  await once(beyond, 'close');
  sockets[0]?.destroy();
  await expect
    .poll(async () => (await rig.get('/healthz').catch(() => undefined))?.status)
    .toBe(200);
});

test('an address that others reach asks for the token, whoever comes to it', async () => {
  const config = { listen: ['http://0.0.0.0:0'], token: READ_TOKEN, allowPlain: true };
  const rig = await open({ config });
  const ask = (headers: Record<string, string>): Promise<Response> =>
    fetch(`http://127.0.0.1:${rig.port}/api/v1/status`, { headers });
  expect((await ask({})).status).toBe(401);
  expect((await ask({ authorization: `Bearer ${READ_TOKEN}` })).status).toBe(200);
});

test('TLS, whose certificate is taken anew when its file changes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatelog-http-'));
  ending.push(() => rmSync(folder, { recursive: true, force: true }));
  const first = await makeServerCertificate(folder, 'first', 100);
  const second = await makeServerCertificate(folder, 'second', 200);
  const files = { cert: join(folder, 'used.pem'), key: join(folder, 'used.key') };
  const use = (pems: typeof first): void => {
    copyFileSync(pems.cert, files.cert);
    copyFileSync(pems.key, files.key);
  };
  use(first);
  const rest = { passphrase: undefined, ca: undefined, requireCertificate: false } as const;
  const tls = { ...files, ...rest, user: undefined, minVersion: 'TLSv1.2' } as const;
  const rig = await open({ config: { listen: ['https://127.0.0.1:0'], tls } });
  expect(rig.url).toMatch(/^https:/u);
  const shown = async (): Promise<unknown> => {
    const socket = connectTls({ port: rig.port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(chunk.toString('utf8')).toContain('HTTP/1.1 200');
    return socket.getPeerCertificate().subject.CN;
  };
  expect(await shown()).toBe('first');
  use(second);
  await rig.door.look();
  expect(await shown()).toBe('second');
  expect(rig.door.certificates()).toMatchObject([{ file: files.cert, listeners: [rig.url] }]);
});

test('a stop does not wait for who came to TLS and says nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatelog-http-'));
  ending.push(() => rmSync(folder, { recursive: true, force: true }));
  const files = await makeServerCertificate(folder, 'silent', 9);
  const rest = { passphrase: undefined, ca: undefined, requireCertificate: false } as const;
  const tls = { ...files, ...rest, user: undefined, minVersion: 'TLSv1.2' } as const;
  const rig = await open({ config: { listen: ['https://127.0.0.1:0'], tls } });
  const silent = connect(rig.port, '127.0.0.1');
  silent.on('error', () => {});
  await once(silent, 'connect');
  // One that is heard after it: both are accepted.
  const heard = connectTls({ port: rig.port, host: '127.0.0.1', rejectUnauthorized: false });
  heard.on('error', () => {});
  await once(heard, 'secureConnect');
  silent.resume();
  await rig.close();
  await expect.poll(() => silent.destroyed).toBe(true);
});

test('stopping ends what goes on', async () => {
  const rig = await open();
  rig.log.topic('telemetry');
  const path = '/api/v1/topics/telemetry/records?from=end&follow=true';
  const followed = await rig.get(path);
  const events = await rig.get('/api/v1/events', { accept: 'text/event-stream' });
  const ends = [followed, events].map((response) =>
    response.text().then(
      () => 'whole',
      () => 'broken off',
    ),
  );
  await rig.close();
  expect(await Promise.all(ends)).toEqual(['broken off', 'broken off']);
});
