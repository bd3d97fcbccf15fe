import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createPlainServer, type Server, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { GatelogError } from '../../src/errors.ts';
import { ConnectAttempts } from '../../src/mirror/connect-attempts.ts';
import { Links } from '../../src/mirror/kafka/links.ts';
import { dial } from '../../src/mirror/mqtt/dial.ts';
import { type Clock, systemClock } from '../../src/time.ts';
import { runChecked } from '../support/process.ts';

/** Certificates that are not to be believed, by real handshakes; what a person is told of each. */
let folder: string;
const closing: (() => unknown)[] = [];

interface Made {
  readonly key: string;
  readonly cert: string;
}

/** Signed by our authority; `when` is what the clock of who signs shows. */
async function sign(name: string, when: string, names: string): Promise<Made> {
  writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${names}\n`);
  const openssl = (...args: string[]): Promise<unknown> =>
    runChecked({ command: 'faketime', args: ['-f', when, 'openssl', ...args], cwd: folder });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const asked = ['-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`];
  await openssl('req', ...ec, ...asked);
  const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30'];
  const files = ['-in', `${name}.csr`, '-extfile', `${name}.ext`, '-out', `${name}.pem`];
  await openssl('x509', '-req', ...by, ...files);
  return { key: text(`${name}.key`), cert: text(`${name}.pem`) };
}

function text(file: string): string {
  return readFileSync(join(folder, file), 'utf8');
}

let good: Made;
let expired: Made;
let early: Made;
let other: Made;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-tls-'));
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const files = ['-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=the plant', '-days', '9000'];
  const ca = ['-f', '@2001-01-01 00:00:00', 'openssl', 'req', '-x509', ...ec, ...files];
  await runChecked({ command: 'faketime', args: [...ca, '-days', '36500'], cwd: folder });
  good = await sign('good', '+0', 'IP:127.0.0.1');
  expired = await sign('expired', '@2002-03-04 00:00:00', 'IP:127.0.0.1');
  early = await sign('early', '@2090-05-06 00:00:00', 'IP:127.0.0.1');
  other = await sign('other', '+0', 'DNS:elsewhere.example');
});

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function portOf(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve());
  });
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function serve(made: Made): Promise<number> {
  const server = createServer(made);
  server.on('tlsClientError', () => {});
  return portOf(server);
}

interface Told {
  readonly clock?: Clock;
  readonly isClockSound?: () => boolean;
  /** Short where the far side says nothing; else ample, for slow machines. */
  readonly connectTimeoutMs?: number;
}

const PATIENT = { connectTimeoutMs: 20_000, requestTimeoutMs: 20_000 };

type Ask = (port: number, ca: string | undefined, told?: Told) => Promise<unknown>;

const kafka: Ask = async (port, ca, told = {}) => {
  const brokers = [`127.0.0.1:${port}`];
  const links = new Links({ brokers, tls: { ca }, ...PATIENT, ...told }, () => {});
  closing.push(() => links.close());
  await links.versions({ host: '127.0.0.1', port });
};

const mqtts: Ask = async (port, ca, told = {}) => {
  const url = `mqtts://127.0.0.1:${port}`;
  const options = { url, gateway: 'gw', tls: { ca }, ...PATIENT, clock: systemClock };
  const attempts = new ConnectAttempts(systemClock);
  await dial({ ...options, ...told }, attempts, new AbortController().signal);
};

const wss: Ask = async (port, ca, told = {}) => {
  const url = `wss://127.0.0.1:${port}/mqtt`;
  const options = { url, gateway: 'gw', tls: { ca }, ...PATIENT, clock: systemClock };
  const attempts = new ConnectAttempts(systemClock);
  await dial({ ...options, ...told }, attempts, new AbortController().signal);
};

async function failureOf(asked: Promise<unknown>): Promise<GatelogError> {
  try {
    await asked;
  } catch (error) {
    return error as GatelogError;
  }
  throw new Error('it was no failure');
}

const REFUSED = 'UPSTREAM_UNAUTHENTICATED';
const ca = (): string => text('ca.pem');

describe.each([
  ['Kafka', kafka],
  ['mqtts', mqtts],
  ['wss', wss],
] as const)('%s', (_name, ask) => {
  test('a certificate that has expired: since when, and what the clock shows', async () => {
    const failure = await failureOf(ask(await serve(expired), ca()));
    expect(failure.code).toBe(REFUSED);
    expect(failure.message).toMatch(
      /CERT_HAS_EXPIRED\): it expired Apr {2}3 .* 2002 GMT; this machine's clock shows 20.*renew the certificate/u,
    );
  });

  test('a certificate that is not valid yet, and a clock of which nobody says that it is wrong', async () => {
    const failure = await failureOf(ask(await serve(early), ca()));
    expect(failure.message).toMatch(
      /CERT_NOT_YET_VALID\): it is not valid before May {2}6 .* 2090 GMT; this machine's clock shows 20.*: if that is wrong set it/u,
    );
  });

  test('the same, while the clock is known to be wrong: the clock is what is to be set', async () => {
    const failure = await failureOf(ask(await serve(early), ca(), { isClockSound: () => false }));
    expect(failure.message).toMatch(/clock shows 20\S+, which is wrong: set it \(network time/u);
    const clock = { ...systemClock, nowMs: () => Date.UTC(2090, 5, 1) };
    const known = await failureOf(ask(await serve(early), ca(), { clock }));
    expect(known.message).toMatch(
      /clock shows 20\S+, and the time is 2090-06-01T00:00:00\.000Z: set it/u,
    );
  });

  test('a certificate for another host: both names', async () => {
    const failure = await failureOf(ask(await serve(other), ca()));
    expect(failure.code).toBe(REFUSED);
    expect(failure.message).toMatch(
      /it is for DNS:elsewhere\.example, and '127\.0\.0\.1' was asked for; set tls\.serverName/u,
    );
  });

  test('an authority that is not known: whose it is', async () => {
    const failure = await failureOf(ask(await serve(good), undefined));
    expect(failure.code).toBe(REFUSED);
    expect(failure.message).toMatch(
      /it was issued by 'the plant': check tls\.ca .*captive portal, or a proxy that looks into TLS/u,
    );
  });

  test('a handshake that stalls', async () => {
    const failure = await failureOf(
      ask(await portOf(createPlainServer()), ca(), { connectTimeoutMs: 500 }),
    );
    expect(failure.message).toMatch(/did not go on with the TLS handshake within 500ms/u);
  });

  test('a listener without TLS that hangs up', async () => {
    const server = createPlainServer((socket) => {
      socket.once('data', () => socket.end());
    });
    const failure = await failureOf(ask(await portOf(server), ca()));
    expect(failure.message).toMatch(
      /as one that does not speak TLS: is this a plaintext listener/u,
    );
  });

  test('a client certificate that is wanted and missing, in the older TLS too', async () => {
    const wants = { ca: ca(), requestCert: true, maxVersion: 'TLSv1.2' } as const;
    const server = createServer({ ...good, ...wants });
    server.on('tlsClientError', () => {});
    const failure = await failureOf(ask(await portOf(server), ca()));
    expect(failure.message).toMatch(/ends the TLS handshake .* client certificate \(tls\.cert/u);
    expect(failure.message).not.toMatch(/\n|:error:/u);
  });

  test('a listener without TLS, or a captive portal', async () => {
    const server = createPlainServer((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    const failure = await failureOf(ask(await portOf(server), ca()));
    expect(failure.message).toMatch(/does not speak TLS: .*captive portal/u);
  });
});

describe('a captive portal on the MQTT port', () => {
  const portal = (): Server =>
    createPlainServer((socket) => {
      socket.once('data', () =>
        socket.end('HTTP/1.1 302 Found\r\nLocation: http://login/\r\nContent-Length: 0\r\n\r\n'),
      );
    });

  test.each([
    ['mqtt', /answers in HTTP, not in MQTT: a captive portal/u],
    ['ws', /answers with HTTP 302 and no WebSocket: check the path, or a captive portal/u],
  ])('%s', async (scheme, words) => {
    const url = `${scheme}://127.0.0.1:${await portOf(portal())}`;
    const options = { url, gateway: 'gw', connectTimeoutMs: 5000, clock: systemClock };
    const attempts = new ConnectAttempts(systemClock);
    const failure = await failureOf(dial(options, attempts, new AbortController().signal));
    expect(failure.code).toBe('UPSTREAM_UNREACHABLE');
    expect(failure.message).toMatch(words);
  });
});
