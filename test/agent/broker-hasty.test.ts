import { afterEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { LogReader } from '../../src/store/log.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

afterEach(() => stopTestBrokers());

/** A reader of the log that finds nothing, once it is let. */
function heldReader(): { reader: Pick<LogReader, 'cursor'>; reads: () => number; let: () => void } {
  const held: (() => void)[] = [];
  const next = (): Promise<never> =>
    new Promise((resolve) => {
      held.push(() => resolve({ slices: [] } as never));
    });
  const cursor = (): never => ({ next, close: async () => {} }) as never;
  return {
    reader: { cursor },
    reads: () => held.length,
    let: () => {
      for (const go of held) go();
    },
  };
}

test('who publishes, says goodbye and hangs up at once after CONNACK is heard, and has no will', async () => {
  const held = heldReader();
  const { port, writer } = await startTestBroker({ keep: { reader: held.reader } });
  const fields = { clientId: 'hasty', clean: false };
  const first = await RawDevice.connect(port, 4, fields);
  first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'b', qos: 1 }] });
  await first.until(() => first.ids('suback').length === 1);
  first.close();
  const other = await RawDevice.connect(port, 4, { clientId: 'other' });
  other.send(other.publish('b', 'x'.repeat(1000), 1, 1));
  await other.until(() => other.ids('puback').length === 1);
  // Its CONNACK is out, and what is queued for it is still being read: so long aedes calls it not connected.
  const will = { topic: 'will', payload: Buffer.from('will'), qos: 1, retain: false };
  const hasty = await RawDevice.connect(port, 4, { ...fields, will });
  await expect.poll(held.reads).toBe(1);
  hasty.send(hasty.publish('a', 'said'), { cmd: 'disconnect' });
  hasty.socket.end();
  for (let turn = 0; turn < 5; turn++) await other.ping();
  held.let();
  await hasty.untilClosed();
  await other.ping();
  expect(writer.values().slice(1)).toEqual(['said']);
});

test('a device that was held up while its other packets were handled is read again', async () => {
  const { port, writer } = await startTestBroker();
  const device = await RawDevice.connect(port);
  const ears = await RawDevice.connect(port, 4, { clientId: 'ears' });
  ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] });
  await ears.until(() => ears.ids('suback').length === 1);
  writer.hold();
  const subscribes = Array.from({ length: 9 }, (_, at) => ({
    cmd: 'subscribe' as const,
    messageId: 60_000 + at,
    subscriptions: [{ topic: `b/${at}`, qos: 1 as const }],
  }));
  const ids = Array.from({ length: LIMITS.liveDeliveries }, (_, at) => at + 1);
  device.send(...ids.map((id) => device.publish('a', 'x', 1, id)), ...subscribes);
  await device.until(() => device.ids('suback').length === subscribes.length);
  writer.resume();
  await device.until(() => device.ids('puback').length === ids.length);
  await device.ping();
  expect(writer.values()).toHaveLength(ids.length);
});
