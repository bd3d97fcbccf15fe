import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { REAUTH_MS } from '../support/kafka/node.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import {
  committed,
  expectExactlyOnce,
  failureOf,
  gatewayFor,
  newGateway,
  pem,
  type TestGateway,
} from './kafka-rig.ts';

/** Getting in, and being told why not. */
const kafka = KafkaOfFile.open();

/** One session that sends all the time, for so long; what broke it, if anything did. `over`: at its end. */
async function staysLoggedIn(
  gateway: TestGateway,
  forMs: number,
  over: () => void,
): Promise<unknown> {
  const session = await gateway.connectSoon();
  const from = new Map(session.positions);
  const end = systemClock.monotonicMs() + forMs;
  try {
    while (systemClock.monotonicMs() < end) {
      gateway.fill(8);
      await session.send(gateway.next(from, 10));
      await systemClock.sleep(20);
    }
    over();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await session.close();
  }
}

describe('logging in', () => {
  const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;

  test.each(mechanisms)('by %s, over TLS and without', async (mechanism) => {
    const { gw } = kafka.cluster.state.users;
    const sasl = { mechanism, username: gw.name, password: gw.password };
    const gateway = await newGateway(kafka.cluster, { upstream: { sasl } });
    gateway.fill(20);
    await gateway.mirror();
    const tls = { ca: pem(kafka.cluster.state.certificates.ca) };
    const secure = gateway.reborn({ brokers: kafka.cluster.bootstrap('saslSsl'), tls });
    secure.fill(20);
    await secure.mirror();
    expect(secure.failures).toEqual([]);
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
  });

  test('by OAUTHBEARER with a token asked for at every connection', async () => {
    const encode = (value: object): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const seconds = Math.floor(systemClock.nowMs() / 1000);
    let asked = 0;
    const token = (): string => {
      asked++;
      const claims = { sub: kafka.cluster.state.users.gw.name, iat: seconds, exp: seconds + 3600 };
      return `${encode({ alg: 'none' })}.${encode(claims)}.`;
    };
    const gateway = await newGateway(kafka.cluster, {
      upstream: { sasl: { mechanism: 'OAUTHBEARER', token } },
    });
    gateway.fill(20);
    await gateway.mirror();
    expect(asked).toBeGreaterThan(0);
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
  });

  test('a session that is longer than its login goes on: the login is renewed under way', async () => {
    const link = await openKafkaLink(kafka.cluster);
    try {
      const { gw } = kafka.cluster.state.users;
      const sasl = {
        mechanism: 'SCRAM-SHA-256',
        username: gw.name,
        password: gw.password,
      } as const;
      const gateway = await newGateway(kafka.cluster, { listener: 'proxied', upstream: { sasl } });
      await (await gateway.connectSoon()).close();
      // A slow machine may come too late for a renewal, or its brokers fall behind each other: then
      // anew. Who never renews is late each time.
      const end = systemClock.monotonicMs() + 100_000;
      for (;;) {
        const before = link.requests('SaslHandshake');
        let connections = 0;
        const trouble = await staysLoggedIn(gateway, REAUTH_MS * 1.6, () => {
          for (const { id } of kafka.cluster.nodes) connections += link.proxy(id).connections;
        });
        if (trouble !== undefined && systemClock.monotonicMs() < end) continue;
        expect(trouble).toBeUndefined();
        // More than one for each connection.
        expect(connections).toBeGreaterThan(0);
        expect(link.requests('SaslHandshake') - before).toBeGreaterThan(connections);
        break;
      }
      await gateway.mirror();
      expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    } finally {
      await link.close();
    }
  });

  test('by a client certificate', async () => {
    const { ca, clientCertificate, clientKey, strangerCertificate, strangerKey } =
      kafka.cluster.state.certificates;
    const own = { ca: pem(ca), cert: pem(clientCertificate), key: pem(clientKey) };
    const gateway = await newGateway(kafka.cluster, {
      listener: 'ssl',
      upstream: { sasl: undefined, tls: own },
    });
    gateway.fill(20);
    await gateway.mirror();
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    const stranger = { ca: pem(ca), cert: pem(strangerCertificate), key: pem(strangerKey) };
    for (const tls of [stranger, { ca: pem(ca) }]) {
      const refused = await failureOf(gateway.reborn({ tls }).connect());
      // The broker says so after the handshake, while our first request is on its way: what it
      // hangs up with may pass its alert. Then nobody can know, and the text gives the likely cause.
      expect(refused).toMatchObject({
        code: expect.stringMatching(/^UPSTREAM_(?:UNAUTHENTICATED|UNREACHABLE)$/u),
        message: expect.stringContaining('client certificate'),
      });
    }
  });

  test('to brokers whose certificate is not trusted is refused by us', async () => {
    const gateway = await newGateway(kafka.cluster, { listener: 'saslSsl', upstream: { tls: {} } });
    expect(await failureOf(gateway.connect())).toMatchObject({
      code: 'UPSTREAM_UNAUTHENTICATED',
      message: expect.stringContaining('check tls.ca'),
    });
    const tls = { ca: pem(kafka.cluster.state.certificates.ca), servername: 'elsewhere.example' };
    expect(await failureOf(gateway.reborn({ tls }).connect())).toMatchObject({
      code: 'UPSTREAM_UNAUTHENTICATED',
      message: expect.stringContaining('tls.serverName'),
    });
  });

  test.each(mechanisms)('with a wrong password says so (%s)', async (mechanism) => {
    const { gw } = kafka.cluster.state.users;
    const sasl = { mechanism, username: gw.name, password: 'wrong' };
    const gateway = await newGateway(kafka.cluster, { upstream: { sasl } });
    const failure = await failureOf(gateway.connect());
    expect(failure).toMatchObject({
      code: 'UPSTREAM_UNAUTHENTICATED',
      message: expect.stringMatching(/refuses to log us in as 'gw' with SASL .+ check the user/u),
    });
    expect(gateway.upstream.dispositionOf(failure)).toEqual({ kind: 'retry' });
  });

  test('plaintext to a TLS listener, TLS to a plaintext one: the text says what to change', async () => {
    const plain = gatewayFor(kafka.cluster, 'any', {
      listener: 'ssl',
      upstream: { sasl: undefined },
    });
    expect(await failureOf(plain.connect())).toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: expect.stringContaining('tls'),
    });
    const tls = gatewayFor(kafka.cluster, 'any', { listener: 'sasl', upstream: { tls: {} } });
    expect(await failureOf(tls.connect())).toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: expect.stringContaining('plaintext listener'),
    });
  });

  test('nobody there: host, port and cause are named', async () => {
    const brokers = ['127.0.0.1:1', '127.0.0.1:2'];
    const gateway = gatewayFor(kafka.cluster, 'any', { upstream: { brokers } });
    const failure = await failureOf(gateway.connect());
    expect(failure).toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
    expect(failure).toMatchObject({
      message: expect.stringMatching(/127\.0\.0\.1:1.*ECONNREFUSED.*127\.0\.0\.1:2.*ECONNREFUSED/u),
    });
    expect(gateway.upstream.dispositionOf(failure)).toEqual({ kind: 'retry' });
  });

  test('a broker that is silent is not waited for', async () => {
    const link = await openKafkaLink(kafka.cluster);
    try {
      const gateway = await newGateway(kafka.cluster, {
        listener: 'proxied',
        upstream: { requestTimeoutMs: 20_000, connectTimeoutMs: 20_000 },
      });
      const silent = await startTcpProxy({ targetPort: kafka.cluster.node(1).ports.sasl });
      await silent.setMode('silent');
      const brokers = [`127.0.0.1:${silent.port}`, ...kafka.cluster.bootstrap('proxied')];
      const patient = gateway.reborn({ brokers });
      patient.fill(20);
      const session = await patient.connectSoon();
      const batch = patient.next(new Map(), 20);
      expect(batch.length).toBe(4);
      await session.send(batch);
      await session.close();
      await silent.close();
      expectExactlyOnce(await committed(kafka.cluster, patient), patient);
    } finally {
      await link.close();
    }
  });

  test('connecting ends soon when it is given up', async () => {
    const link = await openKafkaLink(kafka.cluster);
    try {
      const gateway = await newGateway(kafka.cluster, { listener: 'proxied' });
      await link.setMode('silent');
      const giveUp = new AbortController();
      const failure = failureOf(gateway.connect(giveUp.signal));
      await expect.poll(() => link.proxy(1).connections).toBeGreaterThan(0);
      giveUp.abort();
      expect(await failure).toMatchObject({ message: 'Connecting to Kafka was given up' });
    } finally {
      await link.close();
    }
  });
});
