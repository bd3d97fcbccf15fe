import { afterEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { payloads, publishFrom, subscribe } from '../support/mqtt-session.ts';
import { memorySessions } from '../support/session-rig.ts';

/** What happens between CONNECT and CONNACK, and to sessions whose connection never came that far. */
afterEach(stopTestBrokers);

test('nothing comes before CONNACK, and what waited for it comes after', async () => {
  const space = new MortalSpace();
  const { port } = await startTestBroker({ keep: { space } });
  const will = { topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false };
  const fields = { clientId: 'ears', clean: false, will };
  const ears = await RawDevice.connect(port, 4, fields);
  await subscribe(ears, { topic: 'a', qos: 1 });
  ears.send({ cmd: 'disconnect' });
  await ears.untilClosed();
  const source = await RawDevice.connect(port, 4, { clientId: 'source' });
  const back = await RawDevice.dial(port, 4);
  space.hold(); // its will is not on the disk, and until then there is no CONNACK
  const before = space.writes;
  back.send(back.connectPacket(fields));
  await expect.poll(() => space.writes).toBe(before + 1);
  source.send(source.publish('a', 'nobody asks for it'), source.publish('a', 'kept', 1, 1));
  await source.ping();
  space.release();
  await source.until(() => source.ids('puback').length === 1);
  await back.until(() => back.last('connack') !== undefined);
  await back.ping();
  expect(back.packets[0]?.cmd).toBe('connack');
  expect(payloads(back)).toEqual(['kept']);
});

test('a session whose connection hung up before CONNACK is one that is away', async () => {
  const space = new MortalSpace();
  const { port, broker } = await startTestBroker({ keep: { space } });
  space.hold();
  const device = await RawDevice.dial(port, 4);
  device.send(device.connectPacket({ clientId: 'hasty', clean: false }));
  await expect.poll(() => broker.counters().sessions).toBe(1);
  device.close();
  await expect.poll(() => broker.counters().connections).toBe(0);
  space.release();
  await publishFrom(port, 'x', ['y'], 1, { retain: true }); // its write takes all along
  const record = JSON.parse(
    Buffer.from(space.disk.get('session/hasty') ?? '').toString(),
  ) as object;
  expect(record).toHaveProperty('left');
  const back = await RawDevice.connect(port, 4, { clientId: 'hasty', clean: false });
  expect(back.last('connack')?.['sessionPresent']).toBe(false);
});

test('at their bound sessions of who was connected when we ended give way, and nobody who is', async () => {
  const space = new MortalSpace();
  for (let at = 0; at < LIMITS.mqttSessions; at++) {
    const record = { number: String(at), expiry: null };
    space.disk.set(`session/${at}`, Buffer.from(JSON.stringify(record)));
  }
  const store = await memorySessions({ space });
  for (let at = 0; at < 5; at++) {
    const session = store.session(String(at));
    if (session !== undefined) session.holders = 1;
  }
  for (let at = 0; at < 10; at++) store.ensure(`new-${at}`).holders = 1;
  expect(store.size).toBe(LIMITS.mqttSessions);
  for (const name of ['0', '4', 'new-0', 'new-9']) expect(store.session(name)).toBeDefined();
});
