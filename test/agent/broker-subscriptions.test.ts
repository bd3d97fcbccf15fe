import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AedesInner, createAedes } from '../../src/agent/broker-aedes.ts';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { Subscriptions } from '../../src/agent/broker-subscriptions.ts';
import { LIMITS } from '../../src/limits.ts';
import { memorySessions } from '../support/session-rig.ts';
import { TopicEntry } from '../../src/agent/ingest-topics.ts';

const nobody = (): void => {};

test('quiet is never wrong: whatever is subscribed and dropped, in any order', async () => {
  const handle = await createAedes({}, new SessionPersistence(await memorySessions()));
  const level = fc.constantFrom('a', 'b', '+', '');
  const filter = fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'))
    .filter((text) => text !== '');
  const step = fc.record({
    kind: fc.constantFrom('subscribe', 'unsubscribe', 'keep', 'unkeep', 'clean'),
    filter,
    client: fc.constantFrom('one', 'two', '__proto__'),
  });
  const topics = ['a', 'b', 'a/b', 'a/b/a', '/a', '', 'a/', 'b/b'].filter((one) => one !== '');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const persistence = new SessionPersistence(await memorySessions());
      const inner = { ...handle.inner, persistence, ...bareEmitter() };
      const subscriptions = new Subscriptions();
      subscriptions.watch(inner, persistence.store);
      const entries = topics.map((topic) => new TopicEntry(topic, undefined, undefined));
      const live: string[] = [];
      const kept = new Map<string, Set<string>>();
      for (const { kind, filter: text, client } of steps) {
        const own = kept.get(client) ?? new Set();
        kept.set(client, own);
        if (kind === 'subscribe') {
          inner.subscribe(text, nobody);
          live.push(text);
        } else if (kind === 'unsubscribe' && live.includes(text)) {
          inner.unsubscribe(text, nobody);
          live.splice(live.indexOf(text), 1);
        } else if (kind === 'keep') {
          const asked = { topic: text, qos: 1 as const };
          subscriptions.granted(asked);
          await persistence.addSubscriptions({ id: client }, [asked]);
          own.add(text);
        } else if (kind === 'unkeep') {
          await inner.persistence.removeSubscriptions({ id: client }, [text]);
          own.delete(text);
        } else if (kind === 'clean') {
          await persistence.cleanSubscriptions({ id: client });
          own.clear();
        }
        const wanted = [...live, ...[...kept.values()].flatMap((filters) => [...filters])];
        for (const entry of entries) {
          const expected = !wanted.some((one) => byRegExp(one).test(entry.mqttTopic));
          expect(subscriptions.quiet(entry)).toBe(expected);
        }
      }
    }),
    { numRuns: 200 },
  );
  await new Promise<void>((resolve) => {
    handle.broker.close(() => resolve());
  });
});

test('subscriptions of all sessions together are bounded', async () => {
  const persistence = new SessionPersistence(await memorySessions());
  const inner = { ...bareEmitter(), persistence } as unknown as AedesInner;
  const subscriptions = new Subscriptions();
  subscriptions.watch(inner, persistence.store);
  for (let index = 0; index < LIMITS.subscriptions; index++) {
    expect(subscriptions.full).toBe(false);
    inner.subscribe(`device/${index}`, nobody);
  }
  expect(subscriptions.full).toBe(true);
  inner.unsubscribe('device/0', nobody);
  expect(subscriptions.full).toBe(false);
});

/** An independent way to say the same (MQTT 5, section 4.7.1). */
function byRegExp(filter: string): RegExp {
  const source = filter
    .split('/')
    .map((level) => (level === '+' ? '[^/]*' : level))
    .join('/')
    .replace(/\/#$/u, '(?:/.*)?')
    .replace(/^#$/u, '.*');
  return new RegExp(`^${source}$`, 'u');
}

function bareEmitter(): { subscribe: typeof emit; unsubscribe: typeof emit } {
  return { subscribe: emit, unsubscribe: emit };
}

function emit(_topic: string, _deliver: unknown, done?: () => void): void {
  done?.();
}
