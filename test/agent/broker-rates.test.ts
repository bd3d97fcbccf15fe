import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { ConnectRates } from '../../src/agent/broker-connect-rates.ts';
import { Rates } from '../../src/agent/broker-rates.ts';
import { TokenBucket } from '../../src/agent/token-bucket.ts';
import { UserConnections } from '../../src/agent/broker-user-connections.ts';
import { DEFAULT_CLIENT_LIMITS } from '../../src/client-limits.ts';
import { LIMITS } from '../../src/limits.ts';
import { SimClock } from '../support/sim-clock.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

afterEach(stopTestBrokers);

test('a bucket gives a second’s worth at once, then so much a second, and what is owed is waited for', async () => {
  const clock = new SimClock();
  const bucket = new TokenBucket(10, clock);
  for (let taken = 0; taken < 10; taken++) expect(bucket.admits()).toBe(true);
  expect(bucket.admits()).toBe(false);
  await clock.advance(100);
  expect(bucket.admits()).toBe(true);
  expect(bucket.admits()).toBe(false);
  bucket.take(5);
  expect(bucket.waitMs()).toBeCloseTo(500);
  await clock.advance(10_000);
  expect(bucket.full).toBe(true);
});

class Slow {
  readonly told: string[] = [];
  slow = (): number => this.told.push('slow');
  goOn = (): number => this.told.push('goOn');
  touch = (): void => {};
  tooFast = (): number => this.told.push('tooFast');
}

describe('a client that sends more than it may', () => {
  test('is slowed, goes on when that is paid for, and goes after too long', async () => {
    const clock = new SimClock();
    const limits = { ...DEFAULT_CLIENT_LIMITS, messagesPerSecond: 10, slowedMs: 5000 };
    const slow = new Slow();
    const rate = new Rates(limits, clock).of(slow);
    for (let sent = 0; sent < 11; sent++) rate?.took(1, 100);
    expect(slow.told).toEqual(['slow']);
    await clock.advance(100);
    expect(slow.told).toEqual(['slow', 'goOn']);
    // A break: from then on it counts anew.
    await clock.advance(2000);
    for (let sent = 0; sent < 50; sent++) rate?.took(1, 100);
    await clock.advance(4000);
    expect(slow.told).toEqual(['slow', 'goOn', 'slow', 'goOn']);
    for (let sent = 0; sent < 20; sent++) rate?.took(1, 100);
    await clock.advance(2000);
    expect(slow.told.at(-1)).toBe('tooFast');
  });

  test('by the bytes of all together nobody is sent away', async () => {
    const clock = new SimClock();
    const limits = { ...DEFAULT_CLIENT_LIMITS, totalBytesPerSecond: 1000, slowedMs: 1000 };
    const rates = new Rates(limits, clock);
    const slow = [new Slow(), new Slow()] as const;
    const [one, two] = slow.map((each) => rates.of(each));
    one?.took(1, 6000);
    two?.took(1, 10);
    expect(slow.map(({ told }) => told)).toEqual([['slow'], ['slow']]);
    await clock.advance(10_000);
    expect(slow.map(({ told }) => told)).toEqual([
      ['slow', 'goOn'],
      ['slow', 'goOn'],
    ]);
  });

  test('loses nothing, and is disconnected with a word', async () => {
    const limits = { messagesPerSecond: 20, slowedMs: 600 };
    const { port, writer } = await startTestBroker({ limits });
    const device = await RawDevice.connect(port, 5);
    const packets = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, index) =>
        device.publish('a', String(from + index), 1, from + index + 1),
      );
    device.send(...packets(0, 25));
    await device.until(() => device.ids('puback').length === 25);
    expect(writer.values()).toEqual(Array.from({ length: 25 }, (_, index) => String(index)));
    device.send(...packets(25, 100));
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(0x96);
    const count = device.ids('puback').length;
    expect(count).toBeLessThan(100);
    expect(writer.records.length).toBe(count);
  });

  test('of what it sends so much is held, and no more is taken off its socket', async () => {
    const { port, broker } = await startTestBroker({ limits: { messagesPerSecond: 1 } });
    const flood = await RawDevice.connect(port, 4);
    const message = flood.bytes(flood.publish('a', Buffer.alloc(1000)));
    flood.sendBytes(Buffer.concat(Array.from({ length: 32_000 }, () => message)));
    // Two looks at it, a second apart.
    await setTimeout(2200);
    expect(broker.counters().heldBytes).toBeGreaterThan(32_000);
    expect(broker.counters().heldBytes).toBeLessThan(300_000);
    expect(flood.socket.writableLength).toBeGreaterThan(0);
    expect(flood.closed).toBe(false);
  });

  test('of what many send, so much is held of all together: who holds most goes', async () => {
    const { port, broker } = await startTestBroker({ limits: { totalMessagesPerSecond: 1 } });
    const calm = await RawDevice.connect(port, 4, { clientId: 'calm' });
    const floods: RawDevice[] = [];
    for (let at = 0; at < 320; at++) {
      const flood = await RawDevice.connect(port, 4, { clientId: `flood-${at}` });
      const message = flood.bytes(flood.publish('a', Buffer.alloc(100_000)));
      flood.sendBytes(Buffer.concat([message, message, message]));
      floods.push(flood);
    }
    await expect.poll(() => floods.filter(({ closed }) => closed).length).toBeGreaterThan(10);
    expect(broker.counters().heldBytes).toBeLessThanOrEqual(LIMITS.heldBytes);
    expect(calm.closed).toBe(false);
  });

  test('does not slow others', async () => {
    const { port, writer } = await startTestBroker({ limits: { bytesPerSecond: 1024 } });
    const flood = await RawDevice.connect(port, 4, { clientId: 'flood', keepalive: 1 });
    flood.send(flood.publish('a', Buffer.alloc(4000), 1, 1), flood.publish('a', 'late', 1, 2));
    const other = await RawDevice.connect(port, 4, { clientId: 'other' });
    for (let id = 1; id <= 10; id++) {
      other.send(other.publish('b', 'x', 1, id));
      await other.until(() => other.ids('puback').length === id);
    }
    expect(writer.values()).not.toContain('late');
    // Longer than its keep-alive: it is we who do not listen.
    await flood.until(() => flood.ids('puback').length === 2);
  });
});

describe('new connections', () => {
  test('of one address, and of all; what one may not have takes nothing from others', async () => {
    const clock = new SimClock();
    const rates = new ConnectRates({ connectsPerSecond: 5, addressConnectsPerSecond: 2 }, clock);
    const admitted = (address: string, times: number): boolean[] =>
      Array.from({ length: times }, () => rates.admits(address));
    expect(admitted('10.0.0.1', 4)).toEqual([true, true, false, false]);
    expect(admitted('10.0.0.2', 2)).toEqual([true, true]);
    expect(admitted('10.0.0.3', 2)).toEqual([true, false]);
    await clock.advance(1000);
    expect(admitted('10.0.0.1', 1)).toEqual([true]);
    expect(admitted('2001:db8::1', 1)).toEqual([true]);
    expect(admitted('2001:db8::2', 2)).toEqual([true, false]);
  });

  test('are turned away, and counted', async () => {
    const { port, broker } = await startTestBroker({ limits: { addressConnectsPerSecond: 1 } });
    await RawDevice.connect(port, 4, { clientId: 'one' });
    const second = await RawDevice.dial(port);
    await second.untilClosed();
    expect(broker.counters()).toMatchObject({ connections: 1, connectionsRefused: 1 });
  });
});

describe('connections of one user', () => {
  test('a client id that comes back takes its own place', () => {
    const users = new UserConnections(2);
    const [one, two, again, three] = ['1', '2', '1', '3'].map((id) => ({ id }));
    if (one === undefined || two === undefined || again === undefined || three === undefined)
      return;
    expect([one, two, again].map((each) => users.admits('u', each))).toEqual([true, true, true]);
    expect(users.admits('u', three)).toBe(false);
    expect(users.admits('v', three)).toBe(true);
    expect(users.admits(undefined, three)).toBe(true);
    users.left('u', one);
    expect(users.admits('u', three)).toBe(false);
    users.left('u', again);
    expect(users.admits('u', three)).toBe(true);
  });

  test.each([4, 5] as const)('version %i: more are refused with a word', async (version) => {
    const users = [{ username: 'u', password: 'p' }];
    const { port, broker } = await startTestBroker({ users, maxConnectionsPerUser: 1 });
    const login = { username: 'u', password: Buffer.from('p') };
    const first = await RawDevice.connect(port, version, { clientId: 'a', ...login });
    const second = await RawDevice.connect(port, version, { clientId: 'b', ...login });
    expect(second.last('connack')).toMatchObject(
      version === 5 ? { reasonCode: 0x88 } : { returnCode: 3 },
    );
    expect(broker.counters()).toMatchObject({ connectionsRefused: 1 });
    first.close();
    await expect.poll(() => broker.counters().connections).toBe(0);
    const third = await RawDevice.connect(port, version, { clientId: 'b', ...login });
    expect(third.last('connack')?.[version === 5 ? 'reasonCode' : 'returnCode']).toBe(0);
  });
});
