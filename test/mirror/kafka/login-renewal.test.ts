import { expect, test } from 'vitest';
import { Links } from '../../../src/mirror/kafka/links.ts';
import { Throttle } from '../../../src/mirror/kafka/throttle.ts';
import { startFakeBroker } from '../../support/kafka/fake-broker.ts';
import { FakeLogins } from '../../support/kafka/fake-logins.ts';
import { SimClock } from '../../support/sim-clock.ts';

const SASL = { mechanism: 'PLAIN', username: 'u', password: 'p' } as const;

test('nothing is sent into the renewal of a login, whatever it waited for before', async () => {
  const logins = new FakeLogins(100);
  const broker = await startFakeBroker([{ key: 0, min: 3, max: 9 }], { throttleMs: 1000, logins });
  const clock = new SimClock();
  const throttle = new Throttle(clock);
  const broken: unknown[] = [];
  const links = new Links({ brokers: [], sasl: SASL, throttle }, (error) => broken.push(error));
  try {
    const address = { host: '127.0.0.1', port: broker.port };
    await links.versions(address);
    logins.hold();
    const { begun } = logins;
    const held = links.versions(address); // Over a quota: for a second of the test's time.
    await expect.poll(() => logins.begun).toBeGreaterThan(begun);
    await clock.advance(2000);
    // What was to go wrong would have by now: it needs no time.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(logins.intruders).toBe(0);
    logins.letGo();
    await held;
    expect(broken).toEqual([]);
  } finally {
    links.close();
    await broker.close();
  }
});
