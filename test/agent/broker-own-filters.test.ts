import { expect, test } from 'vitest';
import type { AedesClient } from '../../src/agent/broker-aedes.ts';
import { watchFilters } from '../../src/agent/broker-own-filters.ts';
import { grantedQos, identifiersFor } from '../../src/agent/broker-subscriptions.ts';

function subscriber(): AedesClient {
  const client = { subscriptions: {} } as AedesClient;
  watchFilters(client);
  return client;
}

test('of thousands of subscriptions only those that a message matches are looked at', () => {
  let looks = 0;
  const client = subscriber();
  for (let at = 0; at < 1000; at++) {
    const subscription = {
      get si(): number {
        looks++;
        return at;
      },
      get qos(): 0 | 1 {
        looks++;
        return 1;
      },
      func: () => {},
    };
    client.subscriptions[`a/${at}/+`] = subscription;
  }
  expect(identifiersFor(client, 'a/7/x')).toEqual([7]);
  expect(grantedQos(client, 'a/8/x')).toBe(1);
  expect(grantedQos(client, 'a')).toBe(0);
  expect(looks).toBeLessThan(10);
});

test.each([3, 40])('with %i others it is right after every change', (others) => {
  const client = subscriber();
  const { subscriptions } = client;
  const func = (): void => {};
  for (let at = 0; at < others; at++) subscriptions[`other/${at}`] = { qos: 2, si: 99, func };
  subscriptions['a/#'] = { qos: 1, si: 1, func };
  subscriptions['+/b'] = { qos: 2, si: 2, func };
  subscriptions['#'] = { qos: 0, func };
  expect(new Set(identifiersFor(client, 'a/b'))).toEqual(new Set([1, 2]));
  expect(grantedQos(client, 'a/b')).toBe(2);
  expect(grantedQos(client, '$own/b')).toBe(0); // [MQTT-4.7.2-1]
  subscriptions['a/#'] = { qos: 1, si: 7, func };
  delete subscriptions['+/b'];
  expect(identifiersFor(client, 'a/b')).toEqual([7]);
  expect(grantedQos(client, 'a/b')).toBe(1);
  expect(Object.keys(subscriptions)).toHaveLength(others + 2);
  delete subscriptions['a/#'];
  expect(identifiersFor(client, 'a/b')).toEqual([]);
  expect(subscriptions['constructor']).toBeUndefined();
});
