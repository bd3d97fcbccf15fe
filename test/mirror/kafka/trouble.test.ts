import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { GatelogError } from '../../../src/errors.ts';
import { Links } from '../../../src/mirror/kafka/links.ts';
import type { KafkaConnection } from '../../../src/mirror/kafka/options.ts';
import { foreignToKafka } from '../../../src/mirror/kafka/trouble.ts';
import { startFakeBroker } from '../../support/kafka/fake-broker.ts';
import { freePorts } from '../../support/ports.ts';

/** What a person is told when the other end is no Kafka, or is none that can be reached. */
const HOST = '127.0.0.1';
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Answers whatever it is sent with these bytes; with none it says nothing. */
async function listening(answer: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('data', () => answer(socket));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, HOST, () => resolve());
  });
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it listens on a port');
  return address.port;
}

function linksWith(options: Partial<KafkaConnection> = {}): Links {
  const links = new Links(
    { brokers: [], connectTimeoutMs: 400, requestTimeoutMs: 300, ...options },
    () => {},
  );
  closing.push(() => links.close());
  return links;
}

async function refusalOf(links: Links, host: string, port: number): Promise<GatelogError> {
  try {
    await links.versions({ host, port });
  } catch (error) {
    return error as GatelogError;
  }
  throw new Error('it was no failure');
}

const HTTP = 'HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n';

test.each([
  ['', {}],
  [' (with SASL)', { sasl: { mechanism: 'PLAIN', username: 'u', password: 'p' } as const }],
])('a captive portal that answers HTTP is named at once%s', async (_what, options) => {
  const port = await listening((socket) => socket.write(HTTP));
  const failure = await refusalOf(
    linksWith({ ...options, connectTimeoutMs: 30_000, requestTimeoutMs: 30_000 }),
    HOST,
    port,
  );
  expect(failure.code).toBe('UPSTREAM_UNREACHABLE');
  expect(failure.message).toMatch(
    /^Kafka at 127\.0\.0\.1:\d+ answers in HTTP, not in Kafka: a captive portal/u,
  );
});

test('TLS to what answers HTTP: plaintext listener or captive portal', async () => {
  const port = await listening((socket) => socket.end(HTTP));
  const failure = await refusalOf(linksWith({ tls: {} }), HOST, port);
  expect(failure.message).toMatch(
    /does not speak TLS: is this a plaintext listener\?.*captive portal/u,
  );
});

test('plaintext to a listener that answers with a TLS alert', async () => {
  const port = await listening((socket) => socket.write(Buffer.from([0x15, 3, 3, 0, 2, 2, 10])));
  const failure = await refusalOf(linksWith(), HOST, port);
  expect(failure.message).toMatch(/answers in TLS: this listener requires TLS \(configure tls\)/u);
});

test.each([
  ['reset', (socket: Socket) => socket.resetAndDestroy()],
  ['end', (socket: Socket) => socket.end()],
])('a listener that hangs up (%s) without a word: what it may want', async (_how, hangUp) => {
  const port = await listening(hangUp);
  const bare = await refusalOf(linksWith(), HOST, port);
  expect(bare.message).toMatch(
    /wants TLS \(configure tls\) or SASL \(configure sasl\) closes the connection like this/u,
  );
  const sasl = { mechanism: 'PLAIN', username: 'u', password: 'p' } as const;
  const withSasl = await refusalOf(linksWith({ sasl }), HOST, port);
  expect(withSasl.message).toMatch(/wants TLS \(configure tls\) closes the connection like this/u);
});

test('a TLS handshake that is not answered', async () => {
  const port = await listening(() => {});
  const failure = await refusalOf(linksWith({ tls: {} }), HOST, port);
  expect(failure.message).toMatch(
    /took the connection, and then did not go on with the TLS handshake within 400ms/u,
  );
});

test('another protocol on the port', async () => {
  const port = await listening((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'));
  const failure = await refusalOf(linksWith(), HOST, port);
  expect(failure.message).toMatch(/does not speak Kafka: check the port/u);
});

test('silence after answers is told apart from silence from the start', async () => {
  const broker = await startFakeBroker([{ key: 0, min: 3, max: 9 }]);
  closing.push(() => broker.close());
  const links = linksWith();
  await links.versions({ host: HOST, port: broker.port });
  broker.mute();
  const failure = await refusalOf(links, HOST, broker.port);
  expect(failure.message).toMatch(/no answer within 300ms, after it had answered before/u);
});

test('an address that only the cluster named: advertised.listeners is what to mend', async () => {
  const [port = 0] = await freePorts(1);
  const links = linksWith({ brokers: ['kafka.example.org:9092'] });
  const refused = await refusalOf(links, HOST, port);
  expect(refused.message).toMatch(
    /^Can't reach Kafka at 127\.0\.0\.1:\d+: .*ECONNREFUSED.*; 127\.0\.0\.1:\d+ is not in 'brokers', it is what the cluster advertises: .*advertised\.listeners/u,
  );
  const unknown = await refusalOf(links, 'kafka-2.invalid', 9092);
  expect(unknown.message).toMatch(
    /the name 'kafka-2\.invalid' (?:is not known to the resolver|could not be resolved).*; kafka-2\.invalid:9092 is not in 'brokers'.*advertised\.listeners/u,
  );
  const own = await refusalOf(linksWith({ brokers: [`${HOST}:${port}`] }), HOST, port);
  expect(own.message).not.toContain('advertised');
});

test('first bytes', () => {
  const kinds = ['HTTP/1.0 200', '<!DOCTYPE html>', '<html>', 'SSH-2.0', 'abc'];
  expect(kinds.map((text) => foreignToKafka(Buffer.from(text)))).toEqual([
    'http',
    'http',
    'http',
    'other',
    undefined,
  ]);
  expect(foreignToKafka(Buffer.from([0, 0, 0, 10, 0, 0, 0, 1]))).toBeUndefined();
  expect(foreignToKafka(Buffer.from([0x16, 3, 1, 0, 5]))).toBe('tls');
});
