import { setImmediate } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { TopicTree } from '../../src/agent/broker-topic-tree.ts';
import { CLIENT_BOUNDS } from '../../src/client-limits.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

/** Retained messages are many, and whoever asks for all of them again and again is no burden to others. */
afterEach(async () => {
  vi.restoreAllMocks();
  await stopTestBrokers();
});

test('a walk over many topics lets others have their turn, also where it finds nothing', () => {
  const tree = new TopicTree<string>();
  for (let at = 0; at < 1000; at++) tree.set(`a/${at}/b`, '', String(at));
  tree.set('$own/1/b', '', 'own');
  const walked = (filter: string): (string | undefined)[] => [...tree.under(filter)];
  const found = (filter: string): number =>
    walked(filter).filter((one) => one !== undefined).length;
  expect(walked('+/+/c').every((one) => one === undefined)).toBe(true);
  expect(walked('+/+/c').length).toBeGreaterThanOrEqual(3);
  const counts = ['#', '+/#', 'a/#', 'a/7/b/#', 'a/7/b', 'a/+/b', '+/+/b', '$own/#', '+/1/+', 'a'];
  expect(counts.map(found)).toEqual([1000, 1000, 1000, 1, 1, 1000, 1000, 1, 1, 0]);
});

test('who subscribes faster than it takes what is retained is not read', async () => {
  const begun = vi.spyOn(SessionPersistence.prototype, 'createRetainedStreamCombi');
  const { port } = await startTestBroker();
  const source = await RawDevice.connect(port, 4, { clientId: 'source' });
  const payload = Buffer.alloc(4000, 'x');
  for (let at = 0; at < 50; at++) {
    source.send(source.publish(`a/${at}`, payload, 0, 0, { retain: true }));
  }
  await source.ping();
  const device = await RawDevice.connect(port, 4, { clientId: 'greedy' });
  device.socket.pause();
  const all = Array.from({ length: 150 }, (_, at) => at + 1);
  const subscriptions = [{ topic: '#', qos: 0 as const }];
  device.send(...all.map((messageId) => ({ cmd: 'subscribe' as const, messageId, subscriptions })));
  await expect.poll(() => begun.mock.calls.length).toBeGreaterThan(0);
  for (let turn = 0; turn < 100; turn++) await setImmediate();
  await source.ping();
  expect(begun.mock.calls.length).toBeLessThanOrEqual(CLIENT_BOUNDS.answersAtOnce);
  device.socket.resume();
  await device.until(() => device.packets.length === 1 + 51 * all.length);
  expect(device.ids('suback').toSorted((one, other) => one - other)).toEqual(all);
});
