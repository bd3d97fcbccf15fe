import { apiVersionsV3 } from '@platformatic/kafka';
import { describe, expect, test } from 'vitest';
import { Links } from '../../../src/mirror/kafka/links.ts';
import { Throttle, throttledMs } from '../../../src/mirror/kafka/throttle.ts';
import { startFakeBroker } from '../../support/kafka/fake-broker.ts';
import { SimClock } from '../../support/sim-clock.ts';

describe('a broker that says how long it takes nothing more', () => {
  test('is sent nothing until then, and those that waited go on in order', async () => {
    const clock = new SimClock();
    const throttle = new Throttle(clock);
    const went: string[] = [];
    const ask = async (name: string): Promise<void> => {
      const held = throttle.waitFor('kafka-1:9092');
      if (held !== undefined) await held;
      went.push(name);
    };
    throttle.note('kafka-1:9092', 3000);
    void ask('a');
    await clock.advance(1000);
    void ask('b');
    throttle.note('kafka-1:9092', 5000);
    expect(throttle.waitFor('kafka-2:9092')).toBeUndefined();
    await clock.advance(4000);
    expect(went).toEqual([]);
    clock.after(1000, () => void ask('c'));
    await clock.advance(1000);
    expect(went).toEqual(['a', 'b', 'c']);
    await clock.advance(1);
    expect(throttle.waitFor('kafka-1:9092')).toBeUndefined();
    // Again, at once after it opened.
    throttle.note('kafka-1:9092', 100);
    expect(throttle.waitFor('kafka-1:9092')).toBeDefined();
  });

  test('is told for a minute, with how long it was', async () => {
    const clock = new SimClock();
    const throttle = new Throttle(clock);
    throttle.note('a', 0);
    expect(throttle.text()).toBeUndefined();
    throttle.note('a', 1200);
    await clock.advance(30_000);
    throttle.note('b', 800);
    expect(throttle.text()).toMatch(
      /a quota of the cluster slows it down: .* for 2s in the last minute/u,
    );
    await clock.advance(59_000);
    expect(throttle.text()).toContain('800ms');
    await clock.advance(2000);
    expect(throttle.text()).toBeUndefined();
  });

  test('holds up what goes over that connection, and nothing else', async () => {
    const broker = await startFakeBroker([{ key: 0, min: 3, max: 9 }], { throttleMs: 3_600_000 });
    const links = new Links({ brokers: [], throttle: new Throttle(new SimClock()) }, () => {});
    const address = { host: '127.0.0.1', port: broker.port };
    const asked = [apiVersionsV3.api, 'gatelog', '1'] as const;
    await links.callOver('records', address, ...asked);
    let went = false;
    const held = links.callOver('records', address, ...asked).then(
      () => (went = true),
      () => {},
    );
    await links.versions(address);
    expect(went).toBe(false);
    links.close();
    await held;
    await broker.close();
  });

  test('does not hold up the end of a session', async () => {
    const broker = await startFakeBroker([{ key: 0, min: 3, max: 9 }], { throttleMs: 3_600_000 });
    const throttle = new Throttle(new SimClock());
    const links = new Links({ brokers: [], throttle }, () => {});
    const address = { host: '127.0.0.1', port: broker.port };
    await links.versions(address);
    const ended = links.versions(address).catch((error: unknown) => error);
    links.close();
    expect(await ended).toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
    await broker.close();
  });
});

test('what an answer says', () => {
  expect([throttledMs({ throttleTimeMs: 7 }), throttledMs({}), throttledMs(undefined)]).toEqual([
    7, 0, 0,
  ]);
});
