import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ACCESS_LIMITS } from '../../src/access-limits.ts';
import { parseConfig } from '../../src/agent/config.ts';
import { type Clock, systemClock } from '../../src/time.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';
import { makeSigner, signed, type Signer } from '../support/tokens.ts';

let folder: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-tokens-'));
});
afterEach(async () => {
  await stopTestBrokers();
  server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const SECRET = 'planted-secret-of-at-least-32-bytes';

/** Time goes on by itself, and by `jump`; the look for ended tokens comes soon. */
class QuickClock implements Clock {
  jumpedMs = 0;
  nowMs = (): number => systemClock.nowMs() + this.jumpedMs;
  monotonicMs = (): number => systemClock.monotonicMs() + this.jumpedMs;
  sleep: Clock['sleep'] = (ms, signal) => systemClock.sleep(ms, signal);
  after: Clock['after'] = (ms, task) =>
    systemClock.after(ms === ACCESS_LIMITS.tokenEndsMs ? 10 : ms, task);
}

interface Started extends TestBroker {
  readonly logger: ReturnType<typeof rememberingLogger>;
  readonly clock: QuickClock;
}

async function start(jwt: string, more = '', isClockSound = true, jumpedMs = 0): Promise<Started> {
  const text = `mqtt:\n  jwt: ${jwt}\n${more}`;
  const { mqtt } = parseConfig(text, path.join(folder, 'g.yaml'), {
    env: {},
    workingFolder: folder,
  }).config;
  const { users, usersFile, acl, aclKind, ownTopics, roles } = mqtt;
  const logger = rememberingLogger();
  const clock = new QuickClock();
  clock.jumpedMs = jumpedMs;
  const broker = await startTestBroker({
    jwt: mqtt.jwt,
    users,
    ...(usersFile === undefined ? {} : { usersFile }),
    acl,
    aclKind,
    ownTopics,
    roles,
    logger,
    clock,
    keptKeysFile: path.join(folder, 'token-keys.json'),
    keep: { isClockSound: () => isClockSound },
  });
  return { ...broker, logger, clock };
}

/** The answer to CONNECT. */
async function login(
  { port }: TestBroker,
  token: string,
  username = 'unused',
): Promise<{ device: RawDevice; code: unknown }> {
  const password = Buffer.from(token);
  const device = await RawDevice.connect(port, 5, { clientId: 'c', username, password });
  return { device, code: device.last('connack')?.['reasonCode'] };
}

async function publishCode(device: RawDevice, topic: string): Promise<unknown> {
  const before = device.ids('puback').length;
  device.send(device.publish(topic, topic, 1, before + 1));
  await device.until(() => device.ids('puback').length > before);
  return device.last('puback')?.['reasonCode'];
}

function write(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text);
  return name;
}

function jwks(...signers: Signer[]): string {
  return JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });
}

function refusals({ logger }: Started): string[] {
  const told = logger.lines.filter(({ fields }) => fields['event'] === 'login.refused');
  return told.map(({ message }) => message);
}

describe('a token is a password', () => {
  test.each(['RS256', 'PS256', 'ES256', 'EdDSA'])(
    '%s, by a key in PEM form and in a JWKS',
    async (alg) => {
      const [right, wrong] = [await makeSigner(alg, 'k'), await makeSigner(alg, 'k')];
      for (const file of [write('key.pem', right.pem), write('jwks.json', jwks(right))]) {
        const broker = await start(`{keys: ${file}}`);
        const { device, code } = await login(broker, await right.sign({ sub: 'press' }));
        expect(code).toBe(0);
        expect(await publishCode(device, 'press/a')).toBe(0);
        expect(await publishCode(device, 'unused/a')).toBe(0x87);
        expect((await login(broker, await wrong.sign({ sub: 'press' }))).code).toBe(0x86);
        expect(refusals(broker)).toEqual(['login refused: the token: its signature is wrong']);
      }
    },
  );

  test('a secret that is shared; and no public key is taken for one', async () => {
    const broker = await start(`{secret: ${SECRET}}`);
    const header = { alg: 'HS256' };
    const good = await signed({ sub: 'press' }, header, Buffer.from(SECRET), 600);
    expect((await login(broker, good)).code).toBe(0);
    const bad = await signed({ sub: 'press' }, header, Buffer.from(`${SECRET}!`), 600);
    expect((await login(broker, bad)).code).toBe(0x86);
    const signer = await makeSigner('RS256', 'k');
    const byKey = await start(`{keys: ${write('key.pem', signer.pem)}}`);
    const confused = await signed({ sub: 'press' }, header, Buffer.from(signer.pem), 600);
    expect((await login(byKey, confused)).code).toBe(0x86);
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${good.split('.')[1]}.`;
    expect((await login(byKey, none)).code).toBe(0x86);
    expect(byKey.broker.counters().connectionsRefused).toBe(2);
  });

  test('what a token wants of its reader is in no line', async () => {
    const broker = await start(`{secret: ${SECRET}}`);
    const header = { alg: 'HS256', crit: ['planted\u001B[2J'], 'planted\u001B[2J': true };
    const parts = [header, { sub: 'press' }].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    );
    expect((await login(broker, `${parts.join('.')}.AAAA`)).code).toBe(0x86);
    expect(refusals(broker)).toEqual([
      "login refused: the token: it can't be read: it wants what is not supported here",
    ]);
  });

  test('times, issuer, audience and the name are looked at, and a doubtful clock is said', async () => {
    const signer = await makeSigner('ES256', 'k');
    const keys = write('jwks.json', jwks(signer));
    const nowS = Math.floor(Date.now() / 1000);
    const right = { sub: 'press', iss: 'plant', aud: ['x', 'mqtt'] };
    const cases: readonly [Record<string, unknown>, string][] = [
      [{ exp: nowS - 60 }, 'it has expired by this machine'],
      [{ nbf: nowS + 60 }, 'it is not good yet by this machine'],
      [{ exp: undefined }, 'it has no claim exp'],
      [{ iss: 'other' }, 'its claim iss is not what mqtt.jwt wants'],
      [{ aud: 'other' }, 'its claim aud is not what mqtt.jwt wants'],
      [{ sub: '' }, 'its claim sub holds no user name'],
      [{ sub: 7 }, 'its claim sub'],
    ];
    for (const [claims, told] of cases) {
      const broker = await start(`{keys: ${keys}, issuer: plant, audience: mqtt}`, '', false);
      expect((await login(broker, await signer.sign(right))).code).toBe(0);
      expect((await login(broker, await signer.sign({ ...right, ...claims }))).code).toBe(0x86);
      expect(refusals(broker)).toEqual([expect.stringContaining(told)]);
      expect(refusals(broker).join('').includes('which is not known to be right')).toBe(
        told.includes('this machine'),
      );
    }
  });

  test('roles of the token are roles of the rules', async () => {
    const signer = await makeSigner('ES256', 'k');
    const rules = '  acl:\n    - publish: ["own/%u"]\n    - {roles: [ops], publish: ["set/#"]}\n';
    const keys = write('jwks.json', jwks(signer));
    const broker = await start(`{keys: ${keys}, roles: realm_access.roles}`, rules);
    const claims = { sub: 'anna', realm_access: { roles: ['x', 'ops'] } };
    const ops = await login(broker, await signer.sign(claims));
    expect(await publishCode(ops.device, 'set/a')).toBe(0);
    const plain = await login(broker, await signer.sign({ sub: 'anna' }));
    expect(await publishCode(plain.device, 'set/a')).toBe(0x87);
    expect(await publishCode(plain.device, 'own/anna')).toBe(0);
  });

  test('passwords go on beside tokens, and a wrong one is no open door', async () => {
    const signer = await makeSigner('ES256', 'k');
    const keys = write('jwks.json', jwks(signer));
    const users = '  users: [{username: press, password: x}]\n';
    const broker = await start(`{keys: ${keys}}`, users);
    expect((await login(broker, 'x', 'press')).code).toBe(0);
    expect((await login(broker, 'y', 'press')).code).toBe(0x86);
    expect((await login(broker, 'a.b.c', 'press')).code).toBe(0x86);
    const open = await start(`{keys: ${keys}}`, '  allowAnonymous: true\n');
    expect((await login(open, 'guess', 'press')).code).toBe(0x86);
  });
});

describe('a connection ends with its token', () => {
  test('by the time that goes by, and not where that is not wanted', async () => {
    const signer = await makeSigner('ES256', 'k');
    const keys = write('jwks.json', jwks(signer));
    const ends = await start(`{keys: ${keys}, tolerance: 0ms}`);
    const stays = await start(`{keys: ${keys}, endWithToken: false}`);
    const token = await signer.sign({ sub: 'press' }, 100);
    const [one, other] = [await login(ends, token), await login(stays, token)];
    for (const { clock } of [ends, stays]) clock.jumpedMs = 98_000;
    await one.device.ping();
    await other.device.ping();
    for (const { clock } of [ends, stays]) clock.jumpedMs = 101_000;
    await one.device.untilClosed();
    expect(one.device.last('disconnect')?.['reasonCode']).toBe(0x87);
    expect(ends.logger.lines.map(({ fields }) => fields['event'])).toContain('login.ended');
    await other.device.ping();
  });
});

describe('keys behind a URL', () => {
  let answer: () => string | undefined;

  async function serve(): Promise<string> {
    server = createServer((_, response) => {
      const text = answer();
      response.statusCode = text === undefined ? 500 : 200;
      response.end(text);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  }

  test('new ones are asked for, and old ones stay while it does not answer, for a time', async () => {
    const [old, fresh] = [await makeSigner('ES256', 'old'), await makeSigner('ES256', 'new')];
    answer = () => jwks(old);
    const broker = await start(`{keys: "${await serve()}", keep: 1d}`);
    await broker.broker.lookAtFiles();
    const long = 10 * 86_400;
    const [byOld, byNew] = [
      await old.sign({ sub: 'a' }, long),
      await fresh.sign({ sub: 'a' }, long),
    ];
    expect((await login(broker, byOld)).code).toBe(0);
    answer = () => jwks(old, fresh);
    // It was asked a moment ago, and anybody may name a key that does not exist.
    expect((await login(broker, byNew)).code).toBe(0x86);
    broker.clock.jumpedMs = ACCESS_LIMITS.tokenKeysAgainMs;
    expect((await login(broker, byNew)).code).toBe(0);
    answer = () => undefined;
    await broker.broker.lookAtFiles();
    expect(broker.broker.accessFiles()).toMatchObject([
      { what: 'keys', trouble: expect.stringContaining('it answers with status 500') as string },
    ]);
    expect((await login(broker, byOld)).code).toBe(0);
    broker.clock.jumpedMs += 2 * 86_400_000;
    expect((await login(broker, byOld)).code).toBe(0x88);
    expect(refusals(broker).at(-1)).toContain('the keys of mqtt.jwt are not known');
    answer = () => jwks(fresh);
    await broker.broker.lookAtFiles();
    expect((await login(broker, byNew)).code).toBe(0);
    expect(broker.broker.accessFiles()).toMatchObject([{ trouble: null, since: null }]);
  });

  describe('over a restart', () => {
    const kept = (): string => path.join(folder, 'token-keys.json');
    const DAY = 86_400_000;

    /** A life in which it has answered, and then it does not. */
    async function had(signer: Signer): Promise<string> {
      answer = () => jwks(signer);
      const jwt = `{keys: "${await serve()}", keep: 7d}`;
      const { broker } = await start(jwt);
      await broker.lookAtFiles();
      await broker.stop();
      answer = () => undefined;
      return jwt;
    }

    test('a start without an answer has the keys from before, until they are too old', async () => {
      const signer = await makeSigner('ES256', 'k');
      const jwt = await had(signer);
      const token = await signer.sign({ sub: 'a' }, 100 * 86_400);
      expect(statSync(kept()).mode & 0o777).toBe(0o600);
      const later = await start(jwt, '', true, 3 * DAY);
      expect((await login(later, token)).code).toBe(0);
      await later.broker.lookAtFiles();
      const trouble = expect.stringContaining('gave 3d ago stay in use, up to 7d') as string;
      expect(later.broker.accessFiles()).toMatchObject([{ what: 'keys', trouble }]);
      later.clock.jumpedMs += 5 * DAY;
      expect((await login(later, token)).code).toBe(0x88);
      const late = await start(jwt, '', true, 8 * DAY);
      expect((await login(late, token)).code).toBe(0x88);
      // Where nobody knows the time they count from the start.
      const clueless = await start(jwt, '', false, 8 * DAY);
      expect((await login(clueless, token)).code).toBe(0);
    });

    test('what it gives then is used, and kept', async () => {
      const [old, fresh] = [await makeSigner('ES256', 'old'), await makeSigner('ES256', 'new')];
      const jwt = await had(old);
      answer = () => jwks(fresh);
      const { broker } = await start(jwt);
      await broker.lookAtFiles();
      await broker.stop();
      answer = () => undefined;
      const again = await start(jwt);
      expect((await login(again, await fresh.sign({ sub: 'a' }))).code).toBe(0);
      expect((await login(again, await old.sign({ sub: 'a' }))).code).toBe(0x86);
    });

    test.each([
      ['anybody can change', () => chmodSync(kept(), 0o666), /its mode must be 0600/u],
      ['is damaged', () => damage(/"kty"/u, '"ktx"'), /it is damaged/u],
      ['ends early', () => writeFileSync(kept(), '{"url":'), /it is damaged/u],
      ['is of another URL', () => damage(/jwks"/u, 'other"'), /^$/u],
    ])('a file that %s is not used', async (_, spoil, told) => {
      const signer = await makeSigner('ES256', 'k');
      const jwt = await had(signer);
      spoil();
      const broker = await start(jwt);
      expect((await login(broker, await signer.sign({ sub: 'a' }))).code).toBe(0x88);
      const lines = broker.logger.lines.filter(({ fields }) => fields['event'] === 'keys.unkept');
      expect(lines.map(({ message }) => message).join()).toMatch(told);
    });

    function damage(from: RegExp, to: string): void {
      const text = readFileSync(kept(), 'utf8');
      expect(text.replaceAll('\\"', '"')).toMatch(from);
      const found = JSON.parse(text) as { text: string; url: string };
      const spoiled = {
        ...found,
        text: found.text.replace(from, to),
        url: `${found.url}"`.replace(from, to).slice(0, -1),
      };
      writeFileSync(kept(), JSON.stringify(spoiled));
    }
  });

  test('too much, or nothing that can be used, is told, and nobody comes in', async () => {
    const signer = await makeSigner('ES256', 'k');
    const token = await signer.sign({ sub: 'a' });
    answer = () => '{"keys": "planted"}';
    const broker = await start(`{keys: "${await serve()}"}`);
    await broker.broker.lookAtFiles();
    expect((await login(broker, token)).code).toBe(0x88);
    answer = () => 'x'.repeat(ACCESS_LIMITS.tokenKeysBytes + 1);
    await broker.broker.lookAtFiles();
    const told = broker.broker.accessFiles().map(({ trouble }) => trouble);
    expect(told).toEqual([expect.stringContaining('more than 1048576 bytes')]);
    expect(JSON.stringify(broker.logger.lines)).not.toContain('planted');
  });
});

test('a file of keys is read again, and a private key is none', async () => {
  const [old, fresh] = [await makeSigner('ES256', 'old'), await makeSigner('ES256', 'new')];
  const broker = await start(`{keys: ${write('jwks.json', jwks(old))}}`);
  write('jwks.json', jwks(fresh));
  await broker.broker.lookAtFiles();
  expect((await login(broker, await old.sign({ sub: 'a' }))).code).toBe(0x86);
  expect((await login(broker, await fresh.sign({ sub: 'a' }))).code).toBe(0);
  write('jwks.json', JSON.stringify({ keys: [{ ...fresh.jwk, d: 'planted' }] }));
  await broker.broker.lookAtFiles();
  const [{ trouble, since } = {}] = broker.broker.accessFiles();
  expect(trouble).toContain('holds a private key');
  expect(since).toMatch(/^\d{4}-/u);
  expect((await login(broker, await fresh.sign({ sub: 'a' }))).code).toBe(0);
});

test.each([
  ['{}', 'expected keys or secret, found neither'],
  ['{secret: planted-short}', 'expected a secret of at least 32 bytes, found a text that is not'],
  [`{secret: ${SECRET}, algorithms: [RS256]}`, 'expected keys beside RS256, found none'],
  ['{keys: k, algorithms: [HS256]}', 'expected secret beside HS256, found none'],
  ['{keys: "http://keys.example.com/jwks"}', 'expected the path of a public key'],
  ['{keys: k, algorithms: []}', 'expected at least one, found an empty list'],
  ['{keys: k, algorithms: [none]}', 'expected RS256'],
])('%s is refused', (jwt, told) => {
  const parse = (): unknown =>
    parseConfig(`mqtt:\n  jwt: ${jwt}\n`, 'g.yaml', { env: {}, workingFolder: '/x' });
  expect(parse).toThrow(told);
  expect(parse).not.toThrow(/planted/u);
});
