import { afterEach, expect, test } from 'vitest';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { payloads, subscribe } from '../support/mqtt-session.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** Retained messages have one bound, and who fills it leaves some of it to the others. */
afterEach(stopTestBrokers);

const CAPS = {
  queueBytes: 65_536,
  totalBytes: 65_536,
  retainedBytes: 65_536,
  onFull: 'drop-oldest',
} as const;
const MANY = Array.from({ length: 80 }, (_, at) => at + 1);
const KIB = 'x'.repeat(1000);

/** Retains values of a KiB under topics of its own, waits for the answers, and gives their reason codes. */
async function fills(device: RawDevice, topic: string, qos: 1 | 2 = 1): Promise<number[]> {
  const kind = qos === 1 ? 'puback' : 'pubrec';
  const before = device.ids(kind).length;
  device.send(
    ...MANY.map((id) => device.publish(`${topic}/${id}`, KIB, qos, id, { retain: true })),
  );
  await device.until(() => device.ids(kind).length === before + MANY.length);
  return device.packets
    .filter(({ cmd }) => cmd === kind)
    .slice(before)
    .map((packet) => (packet as { reasonCode?: number }).reasonCode ?? 0);
}

async function retained(port: number, topic: string): Promise<string[]> {
  const ears = await RawDevice.connect(port, 5, { clientId: 'ears' });
  await subscribe(ears, { topic, qos: 0 });
  await ears.ping();
  await ears.ping();
  return payloads(ears);
}

async function sets(device: RawDevice, topic: string, text: string): Promise<void> {
  const before = device.ids('puback').length;
  device.send(device.publish(topic, text, 1, 7, { retain: true }));
  await device.until(() => device.ids('puback').length > before);
}

function start(space = new MortalSpace(), more: object = {}): Promise<TestBroker> {
  return startTestBroker({ keep: { space }, sessionCaps: CAPS, ...more });
}

test('one that retains without end leaves room for the values of others, also after a restart', async () => {
  const logger = rememberingLogger();
  const space = new MortalSpace();
  const { port, broker, writer } = await start(space, { logger });
  const meter = await RawDevice.connect(port, 4, { clientId: 'meter' });
  await sets(meter, 'meter', 'before');
  const codes = await fills(await RawDevice.connect(port, 5, { clientId: 'greedy' }), 'greedy');
  const refused = codes.filter((code) => code === 0x97).length;
  expect(codes.filter((code) => code === 0).length + refused).toBe(MANY.length);
  expect(refused).toBeGreaterThan(MANY.length / 3);
  expect(broker.counters()).toMatchObject({ notRetained: refused, notKept: refused });
  expect(writer.values().length).toBe(MANY.length + 1);
  const told = logger.lines.filter(({ fields }) => fields['event'] === 'retained.full');
  expect(told).toMatchObject([{ fields: { client: 'greedy' } }]);
  await sets(meter, 'meter', 'after');
  await sets(meter, 'meter/long', KIB);
  expect((await retained(port, 'meter/#')).toSorted()).toEqual(['after', KIB]);
  space.kill();
  const next = await start(new MortalSpace(space.disk));
  const again = await RawDevice.connect(next.port, 5, { clientId: 'greedy' });
  expect((await fills(again, 'again')).every((code) => code === 0x97)).toBe(true);
  await sets(await RawDevice.connect(next.port, 4, { clientId: 'meter' }), 'meter', 'at last');
  expect(await retained(next.port, 'meter')).toEqual(['at last']);
});

test('connections of one user share what it may have', async () => {
  const users = [{ username: 'u', password: 'x' }];
  const { port } = await start(new MortalSpace(), { users });
  const login = { username: 'u', password: Buffer.from('x') };
  const kept: number[] = [];
  for (const clientId of ['one', 'two', 'three']) {
    const codes = await fills(await RawDevice.connect(port, 5, { ...login, clientId }), clientId);
    kept.push(codes.filter((code) => code === 0).length);
  }
  expect(kept[0]).toBeGreaterThan(30);
  expect(kept.slice(1)).toEqual([0, 0]);
});

test('where the new value can not be kept, the old one is not shown for it', async () => {
  const { port } = await start();
  const greedy = await RawDevice.connect(port, 5, { clientId: 'greedy' });
  await sets(greedy, 'greedy/state', 'old');
  await fills(greedy, 'greedy');
  await sets(greedy, 'greedy/state', 'x'.repeat(20_000));
  expect(greedy.last('puback')).toMatchObject({
    reasonCode: 0x97,
    properties: { reasonString: expect.stringContaining('not retained') as string },
  });
  expect(await retained(port, 'greedy/state')).toEqual([]);
});

test('3.1.1 and QoS 2, which have no word for it, are answered as ever', async () => {
  const { port } = await start();
  const old = await RawDevice.connect(port, 4, { clientId: 'old' });
  expect(new Set(await fills(old, 'old'))).toEqual(new Set([0]));
  const exact = await RawDevice.connect(port, 5, { clientId: 'exact' });
  expect(new Set(await fills(exact, 'exact', 2))).toEqual(new Set([0]));
});
