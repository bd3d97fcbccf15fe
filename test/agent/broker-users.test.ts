import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ACCESS_LIMITS } from '../../src/access-limits.ts';
import { addressGroup, LoginDelays } from '../../src/agent/broker-login-delays.ts';
import { UsersFile } from '../../src/agent/broker-users-file.ts';
import { PasswordCheck } from '../../src/agent/password-check.ts';
import { makeEntry } from '../../src/agent/password-entry.ts';
import { parseUsers } from '../../src/agent/users-file.ts';
import { systemRandom } from '../../src/random.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';

const PASSWORD = 'planted-password-1';
const WRONG = 'planted-password-2';
let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-users-'));
  file = join(folder, 'users');
});
afterEach(async () => {
  await stopTestBrokers();
  rmSync(folder, { recursive: true, force: true });
});

async function write(...users: readonly (readonly [string, string])[]): Promise<void> {
  const lines = users.map(async ([name, password]) => {
    return `${name}:${await makeEntry(Buffer.from(password), systemRandom)}\n`;
  });
  writeFileSync(file, (await Promise.all(lines)).join(''));
}

function login(username: string, password: string): Record<string, unknown> {
  return { clientId: username, username, password: Buffer.from(password) };
}

async function codeFor(port: number, username: string, password: string): Promise<unknown> {
  const device = await RawDevice.connect(port, 5, login(username, password));
  device.socket.destroy();
  return device.last('connack')?.['reasonCode'];
}

describe('a broker with a file of users', () => {
  test('lets in whom the file names, and takes changes of it', async () => {
    await write(['a', PASSWORD], ['b', PASSWORD]);
    const logger = rememberingLogger();
    const { port, broker } = await startTestBroker({ usersFile: file, logger });
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) => RawDevice.connect(port, 5, login(name, PASSWORD))),
    );
    expect(a?.last('connack')?.['reasonCode']).toBe(0);
    expect(await codeFor(port, 'a', WRONG)).toBe(0x86);
    expect(await codeFor(port, 'c', PASSWORD)).toBe(0x86);
    await write(['a', WRONG], ['c', PASSWORD]);
    await broker.lookAtFiles();
    await Promise.all([a?.untilClosed(), b?.untilClosed()]);
    expect(b?.last('disconnect')?.['reasonCode']).toBe(0x87);
    expect(await codeFor(port, 'a', PASSWORD)).toBe(0x86);
    expect(await codeFor(port, 'a', WRONG)).toBe(0);
    expect(await codeFor(port, 'c', PASSWORD)).toBe(0);
    const told = JSON.stringify(logger.lines);
    expect(told).toContain('login refused: unknown user name or wrong password');
    expect(told).not.toContain('planted');
    expect(told).not.toContain('$scrypt$');
  });

  test('a broken file leaves those who were there, and is told once', async () => {
    await write(['a', PASSWORD]);
    const logger = rememberingLogger();
    const { port, broker } = await startTestBroker({ usersFile: file, logger });
    const device = await RawDevice.connect(port, 4, login('a', PASSWORD));
    writeFileSync(file, `b:${PASSWORD}\n`);
    await broker.lookAtFiles();
    await broker.lookAtFiles();
    await device.ping();
    expect(await codeFor(port, 'a', PASSWORD)).toBe(0);
    const errors = logger.lines.filter(({ level }) => level === 'error');
    expect(errors.map(({ message }) => message)).toEqual([
      `${file}:1: the password of "b" is not hashed; gatelog user passwd makes a new one, and ` +
        'mosquitto_passwd -U hashes those of a whole file; the users from before stay in use',
    ]);
    expect(JSON.stringify(logger.lines)).not.toContain('planted');
  });

  test('a refusal is short, however long the names are', async () => {
    await write(['a', PASSWORD]);
    const logger = rememberingLogger();
    const { port } = await startTestBroker({
      usersFile: file,
      logger,
      limits: { clientIdBytes: 65_535 },
    });
    expect(await codeFor(port, 'x'.repeat(60_000), PASSWORD)).toBe(0x86);
    const told = logger.lines.find(({ message }) => message.startsWith('login refused'));
    expect(JSON.stringify(told).length).toBeLessThan(1000);
  });

  test('without the file it does not start, and says what to do', async () => {
    await expect(startTestBroker({ usersFile: file })).rejects.toThrow(
      `${file} can't be read: there is no such file; gatelog user add NAME makes one`,
    );
  });
});

test('the file is looked at by itself', async () => {
  await write(['a', PASSWORD]);
  const clock = new SimClock(0);
  const users = await UsersFile.open(file, clock, rememberingLogger());
  let changes = 0;
  users.onChange = () => changes++;
  await clock.advance(ACCESS_LIMITS.filesLookMs);
  await users.look();
  expect(changes).toBe(0);
  await write(['b', PASSWORD]);
  await clock.advance(ACCESS_LIMITS.filesLookMs);
  await expect.poll(() => changes).toBe(1);
  expect(users.find('a')).toBeUndefined();
  expect(users.find('b')).toBeDefined();
  users.stop();
});

describe('passwords', () => {
  test('a right one is known again without hashing, until the entry is another', async () => {
    const user = async (): Promise<ReturnType<typeof parseUsers>> =>
      parseUsers(`a:${await makeEntry(Buffer.from(PASSWORD), systemRandom)}\n`, file);
    const [before, after] = [(await user()).get('a'), (await user()).get('a')];
    if (before === undefined || after === undefined) throw new Error('it is there');
    const check = new PasswordCheck(systemRandom);
    const password = Buffer.from(PASSWORD);
    expect(await check.isRight('a', password, before, () => false, 'x')).toBe(true);
    // Who is gone is not hashed for: true only because it was known.
    expect(await check.isRight('a', password, before, () => true, 'x')).toBe(true);
    expect(await check.isRight('a', password, after, () => true, 'x')).toBe(false);
    expect(await check.isRight('b', password, before, () => true, 'x')).toBe(false);
  });

  test('many at once all get their answer', async () => {
    await write(['a', PASSWORD]);
    const { port } = await startTestBroker({ usersFile: file });
    const codes = await Promise.all(
      Array.from({ length: 12 }, (_, at) => codeFor(port, 'a', at < 3 ? WRONG : PASSWORD)),
    );
    expect(codes).toEqual([0x86, 0x86, 0x86, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe('an address that guesses', () => {
  test('with many at once holds up itself, and nobody who comes from elsewhere', async () => {
    await write(['a', PASSWORD]);
    const { port, broker } = await startTestBroker({ usersFile: file });
    const burst = await Promise.all(Array.from({ length: 200 }, () => RawDevice.dial(port, 5)));
    for (const [at, guess] of burst.entries()) {
      guess.send(guess.connectPacket({ ...login('a', `${WRONG}${at}`), clientId: `guess-${at}` }));
    }
    const codes = (): unknown[] => burst.map((guess) => guess.last('connack')?.['reasonCode']);
    const heard = (code: number): number => codes().filter((one) => one === code).length;
    const innocent = await RawDevice.dial(port, 5, '127.0.0.2');
    innocent.send(innocent.connectPacket(login('a', PASSWORD)));
    await innocent.until(() => innocent.last('connack') !== undefined);
    expect(innocent.last('connack')?.['reasonCode']).toBe(0);
    // Its password was hashed after a few of theirs, not after all.
    expect(heard(0x86)).toBeLessThan(20);
    await expect.poll(() => heard(0x88)).toBeGreaterThan(150);
    await innocent.ping();
    expect(heard(0)).toBe(0);
    for (const guess of burst) guess.close();
    await expect.poll(() => broker.counters().connections).toBe(1);
  });

  async function waited(clock: SimClock, delays: LoginDelays, address: string): Promise<number> {
    const beganMs = clock.monotonicMs();
    const admitted = delays.admit(address);
    const isAdmitted = (): Promise<boolean> => Promise.race([admitted, immediate(false)]);
    while (!(await isAdmitted())) await clock.advance(500);
    return clock.monotonicMs() - beganMs;
  }

  test('is answered later and later, up to a bound, and the others are not', async () => {
    const clock = new SimClock(0);
    const delays = new LoginDelays(clock);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      waits.push(await waited(clock, delays, '192.0.2.1'));
      delays.failed('192.0.2.1');
    }
    expect(waits).toEqual([0, 0, 0, 0, 0, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
    expect(await waited(clock, delays, '192.0.2.2')).toBe(0);
    await clock.advance(ACCESS_LIMITS.loginFailuresMs);
    expect(await waited(clock, delays, '192.0.2.1')).toBe(0);
  });

  test('has no more than so many waiting', async () => {
    const clock = new SimClock(0);
    const delays = new LoginDelays(clock);
    for (let attempt = 0; attempt < 9; attempt++) delays.failed('x');
    const waiting = Array.from({ length: ACCESS_LIMITS.loginsDelayed }, () => delays.admit('x'));
    expect(await delays.admit('x')).toBe(false);
    await clock.advance(ACCESS_LIMITS.loginDelayMaxMs);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([true]));
  });

  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::1', '0:0:0:0'],
    [undefined, ''],
  ])('%s counts as %s', (address, group) => {
    expect(addressGroup(address)).toBe(group);
  });
});
