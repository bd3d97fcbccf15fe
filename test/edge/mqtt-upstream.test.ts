import { describe, expect, test } from 'vitest';
import { decodeHeaders } from '../../src/headers.ts';
import { parseIdentity } from '../../src/identity.ts';
import { streamId } from '../../src/record.ts';
import { startMosquitto } from '../support/mosquitto.ts';
import { runChecked } from '../support/process.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { add, broker, cleanups, listen, mirrorTo, patience, telemetry } from './mqtt-rig.ts';

/** The mqtt upstream, a mirror on top, against a real Mosquitto. */
describe('to a Mosquitto', () => {
  test('topic, payload, retain flag, properties and identity arrive', async () => {
    const { port, url } = await broker();
    const heard = await listen(port);
    const { log, mirror } = mirrorTo(url);
    const stream = telemetry(log);
    add(log, stream, 'plant/1', '21.5', ['json']);
    add(log, stream, 'plant/2', '\u0000\u00ff', ['retain']);
    await mirror.start();
    await expect.poll(() => heard.length, patience).toBe(2);
    expect(heard).toEqual([
      {
        topic: 'plant/1',
        text: '21.5',
        retain: false,
        id: 'gw/abc/telemetry/0/0',
        contentType: 'json',
      },
      {
        topic: 'plant/2',
        text: '\u0000\u00ff',
        retain: true,
        id: 'gw/abc/telemetry/0/1',
        contentType: undefined,
      },
    ]);
    await expect
      .poll(() => mirror.status(), patience)
      .toMatchObject({ state: 'live', lagRecords: 0 });
    expect(mirror.status().bytesSent).toBeGreaterThan(100);
  });

  test('a prefix, and MQTT 3.1.1', async () => {
    const { port, url } = await broker();
    const heard = await listen(port);
    const { log, mirror } = mirrorTo(url, {
      prefix: 'sites/gw',
      protocol: '3.1.1',
      retain: 'never',
    });
    add(log, telemetry(log), 'plant/1', 'x', ['retain', 'json']);
    await mirror.start();
    await expect
      .poll(() => heard, patience)
      .toEqual([
        {
          topic: 'sites/gw/plant/1',
          text: 'x',
          retain: false,
          id: undefined,
          contentType: undefined,
        },
      ]);
  });

  test('a small Receive Maximum is kept to', async () => {
    const { port, url } = await broker({
      lines: ['allow_anonymous true', 'max_inflight_messages 3', 'max_queued_messages 0'],
    });
    const heard = await listen(port);
    const { log, mirror } = mirrorTo(url);
    const stream = telemetry(log);
    for (let index = 0; index < 500; index++) add(log, stream, 'a', String(index));
    await mirror.start();
    await expect.poll(() => heard.length, patience).toBe(500);
    expect(heard.map(({ text }) => Number(text))).toEqual(
      Array.from({ length: 500 }, (_, at) => at),
    );
    expect(mirror.status().reconnects).toBe(0);
  });

  test('over TLS, with the certificate checked', async () => {
    const made = await startMosquitto({ lines: [] });
    const { folder } = made;
    cleanups.push(() => made.stop());
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const files = ['-keyout', `${folder}/key.pem`, '-out', `${folder}/cert.pem`];
    await runChecked({
      command: 'openssl',
      args: ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files],
    });
    const { port } = await broker({
      lines: ['allow_anonymous true', `certfile ${folder}/cert.pem`, `keyfile ${folder}/key.pem`],
    });
    const ca = (await runChecked({ command: 'cat', args: [`${folder}/cert.pem`] })).stdout;
    const heard = await listen(port, { protocol: 'mqtts', ca });

    const blind = mirrorTo(`mqtts://127.0.0.1:${port}`);
    add(blind.log, telemetry(blind.log), 'a', 'never');
    await blind.mirror.start();
    await expect
      .poll(() => blind.mirror.status().lastError?.text, patience)
      .toMatch(/^The certificate of mqtts:.*self.signed certificate.*check tls\.ca/u);

    const { log, mirror } = mirrorTo(`mqtts://127.0.0.1:${port}`, { tls: { ca }, clientId: 'b' });
    add(log, telemetry(log), 'a', 'x');
    await mirror.start();
    await expect.poll(() => heard.map(({ text }) => text), patience).toEqual(['x']);
  });
});

describe('when it goes wrong', () => {
  test('links cut in all ways: every record arrives, first arrivals in order', async () => {
    const { port } = await broker({ lines: ['allow_anonymous true', 'max_queued_messages 0'] });
    const heard = await listen(port);
    const proxy = await startTcpProxy({ targetPort: port });
    cleanups.push(() => proxy.close());
    const { log, mirror } = mirrorTo(
      `mqtt://127.0.0.1:${proxy.port}`,
      { ackTimeoutMs: 1000, connectTimeoutMs: 1000 },
      { batching: { maxRecords: 20 } },
    );
    const stream = telemetry(log);
    let sent = 0;
    const addSome = (): void => {
      for (let index = 0; index < 100; index++) {
        add(log, stream, `device/${sent % 7}`, String(sent));
        sent++;
      }
    };
    const faults: (() => Promise<void>)[] = [
      () => Promise.resolve(proxy.resetAll()),
      () => proxy.setMode('silent'),
      () => proxy.setMode('refuse'),
      () => Promise.resolve(proxy.halfOpenAll()),
    ];
    await mirror.start();
    for (const fault of [...faults, ...faults]) {
      addSome();
      await expect.poll(() => mirror.status().state, patience).toMatch(/live|catching up/u);
      const before = mirror.status();
      await fault();
      addSome();
      await expect.poll(() => mirror.status().lastError, patience).not.toEqual(before.lastError);
      if (proxy.mode !== 'open') await proxy.setMode('open');
      await expect
        .poll(() => mirror.status().reconnects, patience)
        .toBeGreaterThan(before.reconnects);
    }
    await expect.poll(() => mirror.status().lagRecords, patience).toBe(0);
    const texts = (): number[] => heard.map(({ text }) => Number(text));
    const all = Array.from({ length: sent }, (_, at) => at);
    await expect.poll(() => [...new Set(texts())], patience).toEqual(all);
    expect(
      heard.filter(({ id, text }) => parseIdentity(id ?? '')?.offset !== Number(text)),
    ).toEqual([]);
  });

  test('a record that takes longer than ackTimeout on a thin link gets through', async () => {
    const { port } = await broker();
    const heard = await listen(port);
    const proxy = await startTcpProxy({ targetPort: port });
    cleanups.push(() => proxy.close());
    const { log, mirror } = mirrorTo(`mqtt://127.0.0.1:${proxy.port}`, { ackTimeoutMs: 300 });
    const large = 'x'.repeat(65_536);
    add(log, telemetry(log), 'a', large);
    proxy.setShape({ bytesPerSecond: 50_000 });
    await mirror.start();
    await expect.poll(() => mirror.status().lagRecords, patience).toBe(0);
    expect(mirror.status().reconnects).toBeGreaterThan(0);
    await expect.poll(() => heard[0]?.text.length, patience).toBe(large.length);
  });

  test('a broker that is stopped in its tracks is given up, and used again when it goes on', async () => {
    const mosquitto = await broker();
    const heard = await listen(mosquitto.port);
    const { log, mirror } = mirrorTo(mosquitto.url, { ackTimeoutMs: 1000, connectTimeoutMs: 1000 });
    const stream = telemetry(log);
    add(log, stream, 'a', '0');
    await mirror.start();
    await expect.poll(() => heard.length, patience).toBe(1);
    mosquitto.process.signal('SIGSTOP');
    add(log, stream, 'a', '1');
    await expect
      .poll(() => mirror.status().lastError?.text, patience)
      .toMatch(/1 acknowledgements are due, and none came for 1s|connack timeout/u);
    mosquitto.process.signal('SIGCONT');
    await expect
      .poll(() => mirror.status(), patience)
      .toMatchObject({ state: 'live', lagRecords: 0 });
    expect([...new Set(heard.map(({ text }) => text))]).toEqual(['0', '1']);
  });

  test('a missing right stops its topic alone', async () => {
    const mosquitto = await broker({
      files: { acl: 'topic readwrite #\ntopic deny secret/#\n' },
      lines: ['allow_anonymous true', 'acl_file FOLDER/acl'],
    });
    const heard = await listen(mosquitto.port);
    const { log, mirror } = mirrorTo(mosquitto.url);
    const [secret = streamId(-1)] = log.topic('secrets').streams;
    add(log, secret, 'secret/1', 'x');
    add(log, telemetry(log), 'open/1', 'y');
    await mirror.start();
    await expect.poll(() => [...new Set(heard.map(({ text }) => text))], patience).toEqual(['y']);
    await expect.poll(() => mirror.status().lagRecords, patience).toBe(1);
    expect(mirror.status().topics).toMatchObject([
      {
        topic: 'secrets',
        state: 'stopped',
        reason: expect.stringContaining('Not authorized (0x87)') as string,
      },
      { topic: 'telemetry', state: 'mirrored' },
    ]);
  });

  test.for([
    ['max_packet_size 2000', /^a packet of 5\d\d\d bytes; the far side takes at most 2000$/u],
    [
      'message_size_limit 1000',
      /^the far side (refused it: .*0x95|ends the session when it is sent: Invalid puback)/u,
    ],
  ] as const)('with %s a large record goes to quarantine', async ([line, reason]) => {
    const mosquitto = await broker({ lines: ['allow_anonymous true', line] });
    const heard = await listen(mosquitto.port);
    const { log, mirror, quarantine } = mirrorTo(mosquitto.url);
    const stream = telemetry(log);
    add(log, stream, 'a', '0');
    add(log, stream, 'a', 'x'.repeat(5000));
    add(log, stream, 'a', '2');
    await mirror.start();
    await expect.poll(() => mirror.status().lagRecords, patience).toBe(0);
    await expect
      .poll(() => [...new Set(heard.map(({ text }) => text))], patience)
      .toEqual(['0', '2']);
    const kept = log.records(quarantine);
    expect(kept.map(({ value }) => value?.length)).toEqual([5000]);
    const headers = decodeHeaders(kept[0]?.headers ?? new Uint8Array(0));
    const given = headers.find(({ key }) => key === 'gatelog.quarantine.reason');
    expect(Buffer.from(given?.value ?? []).toString()).toMatch(reason);
    expect(mirror.status()).toMatchObject({ recordsRejected: 1, state: 'live' });
  });

  test('two mirrors of one gateway with one client id at one broker: what is wrong is said', async () => {
    const { url } = await broker();
    const one = mirrorTo(url, { sameId: ['two'] });
    telemetry(one.log);
    await one.mirror.start();
    await expect.poll(() => one.mirror.status().state, patience).toBe('live');
    const two = mirrorTo(url.replace('127.0.0.1', 'localhost'), { sameId: ['one'] });
    telemetry(two.log);
    await two.mirror.start();
    // This Mosquitto gives no reason; one that does halts it (reasons.test.ts).
    await expect
      .poll(() => one.mirror.status().lastError?.text, patience)
      .toMatch(
        /mirror "two" of this gateway has the same (one|client id).*set clientId for one of them/u,
      );
  });

  test('wrong credentials are said plainly, and tried again', async () => {
    const mosquitto = await broker({
      files: { passwords: '' },
      lines: ['allow_anonymous false', 'password_file FOLDER/passwords'],
    });
    const { mirror, log } = mirrorTo(mosquitto.url, { username: 'gw', password: 'wrong' });
    telemetry(log);
    await mirror.start();
    await expect
      .poll(() => mirror.status().lastError?.text, patience)
      .toMatch(/Not authorized.*check the user name, the password/u);
    const status = mirror.status();
    expect(status.state).toMatch(/refused|connecting/u);
    expect(JSON.stringify(status)).not.toContain('wrong');
  });

  test('nobody there: the address is named', async () => {
    const { mirror, log } = mirrorTo('mqtt://127.0.0.1:1');
    telemetry(log);
    await mirror.start();
    await expect
      .poll(() => mirror.status().lastError?.text, patience)
      .toMatch(/^mqtt:\/\/127\.0\.0\.1:1: connect ECONNREFUSED/u);
  });
});
