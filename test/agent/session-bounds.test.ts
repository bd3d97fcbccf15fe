import { describe, expect, test, vi } from 'vitest';
import type { LivePacket } from '../../src/agent/broker-aedes.ts';
import { HOLD, type Holds } from '../../src/agent/broker-holds.ts';
import { LiveWindow } from '../../src/agent/broker-live-window.ts';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { HeldForDevices, SendWindow } from '../../src/agent/broker-send-window.ts';
import { SessionJournal } from '../../src/agent/broker-session-journal.ts';
import { LIMITS } from '../../src/limits.ts';
import type { KeptPacket } from '../../src/agent/broker-session-codec.ts';
import { SESSION_LIMITS } from '../../src/session-limits.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker } from '../support/mqtt-broker.ts';
import {
  connectLasting,
  heard,
  payloads,
  publishFrom,
  subscribe,
} from '../support/mqtt-session.ts';
import { memorySessions, type RigOptions } from '../support/session-rig.ts';

const ONE = SESSION_LIMITS.messageBytes + 1000;
let counter = 0;

async function persistenceWith(caps: RigOptions['caps']): Promise<SessionPersistence> {
  return new SessionPersistence(await memorySessions({ caps: caps ?? {} }));
}

function message(
  text: string,
  bytes: number = 900,
): Parameters<SessionPersistence['storeRetained']>[0] {
  const payload = Buffer.alloc(bytes, text);
  return { topic: text, payload, qos: 1, brokerId: 'b', brokerCounter: ++counter };
}

async function queued(persistence: SessionPersistence, id: string): Promise<string[]> {
  const found = await persistence.outgoingStream({ id }).toArray();
  return found.map((packet: { topic: string }) => packet.topic);
}

describe('the queue of one session', () => {
  test('drop-oldest: what was queued first goes', async () => {
    const persistence = await persistenceWith({ queueBytes: 3 * ONE });
    for (const text of ['a', 'b', 'c', 'd']) {
      await persistence.outgoingEnqueue({ clientId: 'one' }, message(text));
    }
    expect(await queued(persistence, 'one')).toEqual(['b', 'c', 'd']);
    expect(persistence.store.bounds.dropped).toBe(1);
  });

  test('but nothing that is under way', async () => {
    const persistence = await persistenceWith({ queueBytes: 2 * ONE });
    const first = message('a');
    await persistence.outgoingEnqueue({ clientId: 'one' }, first);
    await persistence.outgoingUpdate({ id: 'one' }, { ...first, cmd: 'publish', messageId: 7 });
    for (const text of ['b', 'c']) {
      await persistence.outgoingEnqueue({ clientId: 'one' }, message(text));
    }
    expect(await queued(persistence, 'one')).toEqual(['a', 'c']);
  });

  test('refuse: what is new is not queued, and there is room again after an answer', async () => {
    const persistence = await persistenceWith({ queueBytes: 2 * ONE, onFull: 'refuse' });
    const first = message('a');
    await persistence.outgoingEnqueue({ clientId: 'one' }, first);
    for (const text of ['b', 'c']) {
      await persistence.outgoingEnqueue({ clientId: 'one' }, message(text));
    }
    await persistence.outgoingUpdate({ id: 'one' }, { ...first, cmd: 'publish', messageId: 7 });
    await persistence.outgoingClearMessageId({ id: 'one' }, { messageId: 7 });
    await persistence.outgoingEnqueue({ clientId: 'one' }, message('d'));
    expect(await queued(persistence, 'one')).toEqual(['b', 'd']);
    expect(persistence.store.bounds.dropped).toBe(1);
  });
});

describe('all queues together', () => {
  test('drop-oldest: the largest gives way', async () => {
    const persistence = await persistenceWith({ totalBytes: 3 * ONE });
    await persistence.outgoingEnqueue({ clientId: 'small' }, message('s'));
    for (const text of ['a', 'b', 'c']) {
      await persistence.outgoingEnqueue({ clientId: 'large' }, message(text));
    }
    expect(await queued(persistence, 'small')).toEqual(['s']);
    expect(await queued(persistence, 'large')).toEqual(['b', 'c']);
    expect(persistence.store.bounds.bytes).toBeLessThanOrEqual(3 * ONE);
  });

  test('refuse', async () => {
    const persistence = await persistenceWith({ totalBytes: ONE, onFull: 'refuse' });
    await persistence.outgoingEnqueue({ clientId: 'one' }, message('a'));
    await persistence.outgoingEnqueue({ clientId: 'other' }, message('b'));
    expect(await queued(persistence, 'other')).toEqual([]);
  });
});

test('retained messages are bounded; a known topic changes, and room comes back', async () => {
  const persistence = await persistenceWith({ retainedBytes: 3 * ONE });
  for (const text of ['a', 'b', 'c']) await persistence.storeRetained(message(text));
  await persistence.storeRetained(message('a', 910));
  const topics = async (): Promise<string[]> =>
    (await persistence.createRetainedStream('#').toArray()).map(
      (one: { topic: string }) => one.topic,
    );
  expect(await topics()).toEqual(['a', 'b']);
  await persistence.storeRetained(message('a', 0));
  await persistence.storeRetained(message('c'));
  expect(await topics()).toEqual(['b', 'c']);
  expect(persistence.store.bounds.dropped).toBe(1);
});

test('properties of retained messages count', async () => {
  const persistence = await persistenceWith({ retainedBytes: 5 * ONE });
  const userProperties = { note: ['x'.repeat(1000), 'y'.repeat(1000)] };
  for (const text of ['a', 'b', 'c']) {
    const packet = { ...message(text, 1), properties: { userProperties } };
    await persistence.storeRetained(packet);
  }
  expect(persistence.store.retained.size).toBe(1);
});

test('retained messages whose time is over make room', async () => {
  const persistence = await persistenceWith({ retainedBytes: 3 * ONE });
  await persistence.storeRetained({ ...message('a'), messageExpiry: Date.now() - 1 });
  await persistence.storeRetained(message('b'));
  await persistence.storeRetained(message('c'));
  expect([...persistence.store.retained.matching('#')].map((one) => one?.topic)).toEqual([
    'b',
    'c',
  ]);
});

test('properties of what waits for a device count, and of what is on its way', () => {
  const dropped = vi.fn<() => void>();
  const window = new SendWindow(1, new HeldForDevices(10_000, 1_000_000, dropped));
  const properties = { userProperties: { note: 'x'.repeat(3000) } };
  const packet = { cmd: 'publish', topic: 'a', payload: Buffer.from('x'), properties };
  for (let messageId = 1; messageId <= 5; messageId++) {
    window.admit({ ...packet, messageId }, {});
  }
  expect(dropped).toHaveBeenCalledOnce();
  const held: number[] = [];
  const holds = { add: (reason: number) => void held.push(reason), remove: () => {} };
  const live = new LiveWindow(holds as unknown as Holds);
  const large = { userProperties: { note: 'x'.repeat(LIMITS.liveBytes) } };
  live.begin({ ...packet, qos: 1, retain: false, dup: false, properties: large } as LivePacket);
  expect(held).toEqual([HOLD.live]);
});

test('a handshake whose last write was cut in two goes on with PUBREL, and its message is gone', async () => {
  const space = new MortalSpace();
  const store = await memorySessions({ space });
  const session = store.ensure('ears');
  session.queue.push({ ...message('a'), qos: 2 } as KeptPacket, undefined);
  session.queue.update({ cmd: 'publish', messageId: 7, brokerId: 'b', brokerCounter: counter });
  await store.journal.durable();
  const room = 44; // for either of the two changes that PUBREC makes
  store.journal.put('filler', Buffer.alloc(SESSION_LIMITS.writeBytes - 'filler'.length - room));
  session.queue.update({ cmd: 'pubrel', messageId: 7 });
  space.dieAt(1, false);
  void store.journal.durable();
  await space.died;
  for (const life of [1, 2]) {
    const next = await memorySessions({ space: new MortalSpace(space.disk) });
    const found: unknown[] = [];
    for await (const one of next.session('ears')?.queue.stream() ?? []) found.push(one);
    expect(found, `life ${life}`).toEqual([{ cmd: 'pubrel', messageId: 7 }]);
    await next.journal.durable();
  }
  expect([...space.disk.keys()].filter((key) => key.startsWith('queue/'))).toEqual([]);
});

test('a message is given up though the disk does not read; what waits in the queue comes when it does', async () => {
  const space = new MortalSpace();
  const { port } = await startTestBroker({ keep: { space } });
  const limits = { receiveMaximum: 2, maximumPacketSize: 100 };
  const device = await connectLasting(port, 'ears', limits);
  await subscribe(device, { topic: 'a', qos: 1 });
  const reads = vi.spyOn(space, 'get');
  reads.mockRejectedValue(new Error('injected: input/output error'));
  await publishFrom(port, 'a', ['first', 'x'.repeat(200), 'second', 'last']);
  await device.until(() => payloads(device).length === 2);
  const [first, second] = heard(device);
  vi.spyOn(SessionJournal.prototype, 'get').mockImplementation((key) => space.get(key)); // no more in memory
  device.send({ cmd: 'puback', messageId: first?.messageId ?? 0 });
  await device.untilClosed();
  vi.restoreAllMocks();
  const back = await connectLasting(port, 'ears', limits);
  await back.until(() => payloads(back).length === 2);
  expect(payloads(back)).toEqual(['second', 'last']);
  expect(second?.text).toBe('second');
});

test('who never ends its handshakes leaves packet ids: nobody looks for one in vain', async () => {
  const { queue } = (await memorySessions()).ensure('ears');
  for (let at = 0; queue.hasIds; at++) {
    queue.push({ ...message('a'), qos: 2 } as KeptPacket, undefined);
    queue.identify(at, () => false);
  }
  const window = new SendWindow(65_535, new HeldForDevices(1e9, 1e9, () => {}));
  for (let messageId = 1; messageId <= 65_535; messageId++) {
    window.admit({ cmd: 'publish', topic: 'a', payload: '', messageId }, {});
  }
  const ids = Array.from({ length: 65_535 }, (_, at) => at + 1);
  expect(ids.filter((id) => !window.isTaken(id)).length).toBeGreaterThan(queue.size);
});

test('one message for two subscriptions of a client is queued once', async () => {
  const persistence = await persistenceWith({});
  const subs = [{ clientId: 'one' }, { clientId: 'one' }];
  await persistence.outgoingEnqueueCombi(subs, message('a'));
  expect(await queued(persistence, 'one')).toEqual(['a']);
});

test('a packet id that is under way is not given a second time', async () => {
  const persistence = await persistenceWith({});
  const sent = [message('a'), message('b')].map((one) => ({
    ...one,
    cmd: 'publish',
    messageId: 65_535,
  }));
  for (const one of sent) {
    await persistence.outgoingEnqueue({ clientId: 'one' }, one);
    await persistence.outgoingUpdate({ id: 'one' }, one);
  }
  expect(sent.map(({ messageId }) => messageId)).toEqual([65_535, 1]);
});

test('what comes while a queue is emptied is not sent by that too', async () => {
  const persistence = await persistenceWith({});
  await persistence.outgoingEnqueue({ clientId: 'one' }, message('a'));
  const topics: string[] = [];
  for await (const { topic } of persistence.outgoingStream({ id: 'one' })) {
    topics.push(topic as string);
    await persistence.outgoingEnqueue({ clientId: 'one' }, message('b'));
  }
  expect(topics).toEqual(['a']);
});
