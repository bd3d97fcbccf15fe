import { afterEach, expect, test } from 'vitest';
import { mqttWay } from '../../src/mirror/mqtt/way.ts';
import type { WayStep } from '../../src/mirror/way.ts';
import { reach } from '../../src/mirror/way.ts';
import { systemClock } from '../../src/time.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';

/** The way to a far side, as far as a machine without Kafka has one. */
afterEach(stopTestBrokers);

async function walk(url: string, username?: string, password?: string): Promise<WayStep[]> {
  const steps: WayStep[] = [];
  const way = mqttWay({ gateway: 'gw-1', url, username, password, clock: systemClock });
  for await (const step of way) steps.push(step);
  return steps;
}

test('to an MQTT broker: who may come in, and who may not', async () => {
  const users = [{ username: 'gw-1', password: 'right' }];
  const { url } = await startTestBroker({ users });
  expect(await walk(url, 'gw-1', 'right')).toEqual([
    { name: 'connection', state: 'good', text: expect.stringContaining('takes connections') },
    { name: 'MQTT', state: 'good', text: expect.stringContaining("as user 'gw-1'") },
  ]);
  const refused = await walk(url, 'gw-1', 'wrong');
  expect(refused.at(-1)).toMatchObject({ name: 'MQTT', state: 'failed' });
  expect(refused.at(-1)?.text).toMatch(/check the user name, the password/u);
});

test('the mirror that runs is not thrown out', async () => {
  const { url, broker } = await startTestBroker();
  const { connectAsync } = await import('mqtt');
  const mirror = await connectAsync(url, { clientId: 'gatelog-gw-1', reconnectPeriod: 0 });
  let isThrownOut = false;
  mirror.on('close', () => {
    isThrownOut = true;
  });
  await walk(url);
  await mirror.publishAsync('a', 'x', { qos: 1 });
  expect(isThrownOut).toBe(false);
  expect(broker.addresses()).toEqual([url]);
  await mirror.endAsync();
});

test('a port where nothing listens, and TLS where none is spoken', async () => {
  const [refused] = await walk('mqtt://127.0.0.1:1');
  expect(refused).toMatchObject({ name: 'connection', state: 'failed' });
  expect(refused?.text).toMatch(/nothing listens there/u);
  const { url } = await startTestBroker();
  const secure = await walk(url.replace('mqtt:', 'mqtts:'));
  expect(secure.at(-1)).toMatchObject({ name: 'TLS', state: 'failed' });
  expect(secure.at(-1)?.text).toMatch(/leave tls out/u);
});

test('a name that nobody knows', async () => {
  const [named] = await reach({
    host: 'gatelog-test.invalid',
    port: 1,
    where: 'Kafka at gatelog-test.invalid:1',
    protocol: 'Kafka',
    tls: undefined,
    timeoutMs: 20_000,
    clock: systemClock,
  });
  expect(named).toMatchObject({ name: 'name', state: 'failed' });
  expect(named?.text).toMatch(/DNS that this machine asks/u);
});
