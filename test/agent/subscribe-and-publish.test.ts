import { afterEach, describe, expect, test } from 'vitest';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import {
  connectLasting,
  heard,
  payloads,
  publishFrom,
  subscribe,
} from '../support/mqtt-session.ts';

/** What comes while a SUBSCRIBE is being answered: each message once, and none older after a newer one. */
afterEach(stopTestBrokers);

describe.each([
  ['3.1.1', 4, true],
  ['3.1.1', 4, false],
  ['5', 5, true],
  ['5', 5, false],
] as const)('MQTT %s, protocol level %i, Clean Session %j', (_, version, clean) => {
  // As Mosquitto does it.
  test.each([0, 1, 2] as const)('SUBSCRIBE and PUBLISH in one write, QoS %i', async (qos) => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const properties = version === 5 && !clean ? { sessionExpiryInterval: 600 } : {};
    const device = await RawDevice.connect(port, version, { clean, properties });
    device.send(
      { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/#', qos }] },
      device.publish('a', 'retained', qos, 2, { retain: true }),
      device.publish('a', 'next', qos, 3),
    );
    await expect.poll(() => payloads(device)).toHaveLength(2);
    await device.ping();
    const found = heard(device).map(({ text, retain }) => [text, retain]);
    expect(found).toEqual([
      ['retained', false],
      ['next', false],
    ]);
    expect(device.packets[1]?.cmd).toBe('suback');
  });
});

test('what comes before SUBACK of a lasting session does not wait for its next connection', async () => {
  const space = new MortalSpace();
  const { port } = await startTestBroker({ keep: { space } });
  const ears = await connectLasting(port, 'ears');
  space.hold();
  const subscribed = subscribe(ears, { topic: 'a', qos: 1 });
  await ears.ping();
  const source = await RawDevice.connect(port, 5, { clientId: 'source' });
  source.send(source.publish('a', 'early', 1, 1, { retain: true }));
  await source.ping();
  space.release();
  await subscribed;
  await source.until(() => source.ids('puback').length === 1);
  source.send(source.publish('a', 'late', 1, 2));
  await expect.poll(() => payloads(ears)).toEqual(['early', 'late']);
  for (const { messageId } of heard(ears)) ears.send({ cmd: 'puback', messageId });
  await ears.ping();
  ears.close();
  const back = await connectLasting(port, 'ears');
  await back.ping();
  expect(payloads(back)).toEqual([]);
});

test('no retained message comes after what replaced it', async () => {
  const { port } = await startTestBroker();
  const old = 'x'.repeat(50_000);
  const topics = Array.from({ length: 250 }, (_, at) => `a/${at}`);
  const source = await RawDevice.connect(port, 5, { clientId: 'source' });
  for (const topic of topics) source.send(source.publish(topic, old, 0, 0, { retain: true }));
  await source.ping();
  const ears = await RawDevice.connect(port, 5, { clientId: 'ears' });
  ears.socket.pause();
  ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] });
  await publishFrom(port, 'a/249', ['new'], 1, { retain: true });
  ears.socket.resume();
  await expect.poll(() => payloads(ears)).toHaveLength(topics.length);
  await ears.ping();
  expect(heard(ears).filter(({ topic }) => topic === 'a/249')).toMatchObject([{ text: 'new' }]);
});
