import { describe, expect, test } from 'vitest';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { type Random, seededRandom } from '../../src/random.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { memorySessions } from '../support/session-rig.ts';

/**
 * Power cuts between any two writes: a script of steps, each awaited as its acknowledgement would be,
 * is cut at every write it makes, before and after the write reached the disk. What is there after a
 * start must be what was acknowledged, or that and the step that was under way.
 */
interface World {
  readonly persistence: SessionPersistence;
  readonly random: Random;
  counter: number;
}

type Step = (world: World) => Promise<void>;

const CLIENTS = ['one', 'two/three', '~ü'];
const FILTERS = ['a/#', '+/b', 'a/b', '#'];
const TOPICS = ['a/b', 'c/b', 'a', '~~x'];

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random.next() * from.length)] as T;
}

const STEPS: readonly Step[] = [
  subscribe,
  subscribe,
  async ({ persistence, random }) => {
    const filters = [pick(random, FILTERS), pick(random, FILTERS)];
    await persistence.removeSubscriptions({ id: pick(random, CLIENTS) }, filters);
  },
  async ({ persistence, random }) => {
    if (random.next() < 0.5) return;
    await persistence.cleanSubscriptions({ id: pick(random, CLIENTS) });
  },
  publish,
  publish,
  publish,
  async ({ persistence, random }) => {
    const payload = Buffer.from(random.next() < 0.3 ? '' : random.hex(4));
    await persistence.storeRetained({ topic: pick(random, TOPICS), payload, qos: 1 });
    await persistence.durable();
  },
  async ({ persistence, random }) => {
    const will = { topic: pick(random, TOPICS), payload: Buffer.from(random.hex(2)) };
    await persistence.putWill({ id: pick(random, CLIENTS) }, will);
  },
  async ({ persistence, random }) => {
    await persistence.delWill({ id: pick(random, CLIENTS) });
    await persistence.durable();
  },
  async (world) => sent(world, 'publish'),
  async (world) => sent(world, 'pubrel'),
  async (world) => sent(world, 'cleared'),
];

async function subscribe({ persistence, random }: World): Promise<void> {
  const qos = pick(random, [0, 1, 2, 2] as const);
  await persistence.addSubscriptions({ id: pick(random, CLIENTS) }, [
    { topic: pick(random, FILTERS), qos, rh: 0, rap: true, nl: false },
  ]);
}

async function publish(world: World): Promise<void> {
  const { persistence, random } = world;
  const topic = pick(random, TOPICS);
  const payload = Buffer.from(random.hex(3));
  const packet = { topic, payload, qos: 2 as const, brokerId: 'b', brokerCounter: ++world.counter };
  await persistence.outgoingEnqueueCombi(await persistence.subscriptionsByTopic(topic), packet);
  await persistence.durable();
}

/** One of a session's messages goes a step on. */
async function sent({ persistence, random }: World, step: string): Promise<void> {
  const client = { id: pick(random, CLIENTS) };
  const waiting = await persistence.outgoingStream(client).toArray();
  if (waiting.length === 0) return;
  const packet = pick(random, waiting) as { cmd: string; messageId?: number; qos: number };
  if (step === 'publish') packet.messageId ??= 1 + Math.floor(random.next() * 65_535);
  if (packet.messageId === undefined) return;
  if (step === 'publish') await persistence.outgoingUpdate(client, packet);
  else if (step === 'cleared') {
    await persistence.outgoingClearMessageId(client, packet);
    await persistence.durable();
  } else {
    await persistence.outgoingUpdate(client, { cmd: 'pubrel', messageId: packet.messageId });
  }
}

/** Everything that a device could see. */
async function seen(persistence: SessionPersistence): Promise<unknown> {
  const sessions: Record<string, unknown> = {};
  for (const id of CLIENTS) {
    const subscriptions = await persistence.subscriptionsByClient({ id });
    const queue = await persistence.outgoingStream({ id }).toArray();
    sessions[id] = {
      there: persistence.store.session(id) !== undefined,
      subscriptions: subscriptions.toSorted((one, other) => (one.topic < other.topic ? -1 : 1)),
      queue: queue.map((one: { cmd: string; payload?: Buffer; messageId?: number }) => [
        one.cmd,
        one.payload?.toString(),
        one.messageId,
      ]),
      will: (await persistence.getWill({ id }))?.payload.toString(),
    };
  }
  const retained = [...persistence.store.retained.matching('#')].filter((one) => one !== undefined);
  const texts = retained.map(({ topic, payload }) => `${topic}=${payload.toString()}`);
  return { sessions, retained: texts.toSorted() };
}

async function live(seed: number, space: MortalSpace, states: unknown[]): Promise<void> {
  const persistence = new SessionPersistence(await memorySessions({ space }));
  await persistence.setup({ id: 'b' });
  const world = { persistence, random: seededRandom(seed), counter: 0 };
  for (let step = 0; step < 90; step++) {
    await pick(world.random, STEPS)(world);
    states.push(await seen(persistence));
  }
}

async function reborn(space: MortalSpace): Promise<SessionPersistence> {
  return new SessionPersistence(await memorySessions({ space: new MortalSpace(space.disk) }));
}

const EMPTY = seen(new SessionPersistence(await memorySessions()));

describe.each([1, 2, 3, 4, 5, 6])('script %i', (seed) => {
  test('cut at every write', async () => {
    const whole: unknown[] = [await EMPTY];
    const uncut = new MortalSpace();
    await live(seed, uncut, whole);
    expect(await seen(await reborn(uncut))).toEqual(whole.at(-1));
    expect(uncut.writes).toBeGreaterThan(30);
    for (let write = 0; write < uncut.writes; write++) {
      for (const after of [false, true]) {
        const space = new MortalSpace();
        space.dieAt(write, after);
        const acknowledged: unknown[] = [await EMPTY];
        await Promise.race([live(seed, space, acknowledged), space.died]);
        const found = await seen(await reborn(space));
        const before = acknowledged.length - 1;
        expect(acknowledged).toEqual(whole.slice(0, before + 1));
        expect([whole[before], whole[before + 1]]).toContainEqual(found);
        expect(found).toEqual(whole[after ? before + 1 : before]);
      }
    }
  });
});

test('many messages share a write', async () => {
  const space = new MortalSpace();
  const persistence = new SessionPersistence(await memorySessions({ space }));
  await persistence.addSubscriptions({ id: 'one' }, [{ topic: '#', qos: 1 }]);
  const before = space.writes;
  for (let index = 1; index <= 100; index++) {
    const packet = { topic: 'a', payload: Buffer.from('x'), qos: 1 as const };
    const subs = [{ clientId: 'one' }];
    await persistence.outgoingEnqueueCombi(subs, {
      ...packet,
      brokerId: 'b',
      brokerCounter: index,
    });
  }
  await Promise.all(Array.from({ length: 100 }, () => persistence.durable()));
  expect(space.writes).toBe(before + 1);
});

test('what failed is written with the next, and nobody is told otherwise', async () => {
  const space = new MortalSpace();
  const persistence = new SessionPersistence(await memorySessions({ space }));
  space.fail();
  const subscribed = persistence.addSubscriptions({ id: 'one' }, [{ topic: 'a', qos: 1 }]);
  await expect(subscribed).rejects.toThrow('injected');
  space.mend();
  await persistence.addSubscriptions({ id: 'one' }, [{ topic: 'b', qos: 1 }]);
  const again = await reborn(space);
  expect(await again.subscriptionsByClient({ id: 'one' })).toMatchObject([
    { topic: 'a' },
    { topic: 'b' },
  ]);
});

test('what is left of a session that ended is cleared away', async () => {
  const space = new MortalSpace();
  const persistence = new SessionPersistence(await memorySessions({ space }));
  await persistence.addSubscriptions({ id: 'one' }, [{ topic: 'a', qos: 1 }]);
  space.disk.delete('session/one');
  const again = await reborn(space);
  expect(await again.subscriptionsByClient({ id: 'one' })).toEqual([]);
  await again.destroy();
  expect([...space.disk.keys()]).toEqual([]);
});
