import { afterEach, describe, expect, test } from 'vitest';
import { ruleOf } from '../support/acl-rule.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import {
  connectLasting,
  heard,
  payloads,
  publishFrom,
  subscribe,
  subscribeAll,
} from '../support/mqtt-session.ts';

/** SUBSCRIBE of MQTT 5: identifiers, options, and what SUBACK says. */
afterEach(stopTestBrokers);

function device5(port: number, clientId: string = 'ears'): Promise<RawDevice> {
  return RawDevice.connect(port, 5, { clientId });
}

describe('subscription identifiers', () => {
  test('a message has those of all subscriptions that match, and comes once', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port);
    await subscribe(ears, { topic: 'a/b', qos: 1 }, 2);
    await subscribe(ears, { topic: 'a/#', qos: 1 }, 268_435_455);
    await subscribe(ears, { topic: 'c', qos: 1 }, 4);
    await subscribe(ears, { topic: '+/b', qos: 1 });
    await publishFrom(port, 'a/b', ['x']);
    await expect.poll(() => payloads(ears)).toEqual(['x']);
    const found = heard(ears)[0]?.properties['subscriptionIdentifier'] as number[];
    expect(new Set(found)).toEqual(new Set([2, 268_435_455]));
  });

  test('they hold for what was queued, after a power cut too', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const ears = await connectLasting(port, 'ears');
    await subscribe(ears, { topic: 'a/#', qos: 1 }, 9);
    ears.send({ cmd: 'disconnect' });
    await ears.untilClosed();
    await publishFrom(port, 'a/b', ['x']);
    space.kill();
    const next = await startTestBroker({ keep: { space: new MortalSpace(space.disk) } });
    const back = await connectLasting(next.port, 'ears');
    await expect.poll(() => payloads(back)).toEqual(['x']);
    expect(heard(back)[0]?.properties['subscriptionIdentifier']).toBe(9);
  });

  test('a retained message has that of the SUBSCRIBE it answers', async () => {
    const { port } = await startTestBroker();
    await publishFrom(port, 'a/b', ['kept'], 1, { retain: true });
    const ears = await device5(port);
    await subscribe(ears, { topic: 'a/b', qos: 1, rh: 2 }, 2);
    await subscribe(ears, { topic: 'a/#', qos: 1 }, 3);
    await expect.poll(() => payloads(ears)).toEqual(['kept']);
    expect(heard(ears)[0]?.properties['subscriptionIdentifier']).toBe(3);
  });
});

describe('of overlapping subscriptions', () => {
  test.each([
    ['a/#', 0, 'a/+', 2],
    ['a/#', 2, 'a/+', 0],
    ['a/b', 0, 'a/+', 2],
    ['a/b', 1, 'a/+', 2],
    ['a/b', 2, 'a/+', 1],
    ['a/#', 2, 'a/b', 0],
    ['a/#', 2, 'a/b', 1],
  ] as const)('the higher QoS counts: %s at %i and %s at %i', async (one, first, other, second) => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await connectLasting(port, 'ears');
    await subscribe(ears, { topic: one, qos: first });
    await subscribe(ears, { topic: other, qos: second });
    await publishFrom(port, 'a/b', ['x'], 2);
    await expect.poll(() => heard(ears).map(({ qos }) => qos)).toEqual([2]);
    ears.send({ cmd: 'pubrec', messageId: heard(ears)[0]?.messageId ?? 0 });
    await ears.until(() => ears.last('pubrel') !== undefined);
    ears.send({ cmd: 'pubcomp', messageId: heard(ears)[0]?.messageId ?? 0 });
    await ears.ping();
    ears.close();
    const back = await connectLasting(port, 'ears');
    await back.ping();
    expect(payloads(back)).toEqual([]);
  });

  test.each(['a', '+'])('a retained message has the QoS of the subscription: %s', async (topic) => {
    const { port } = await startTestBroker();
    await publishFrom(port, 'a', ['kept'], 1, { retain: true });
    const ears = await device5(port);
    await subscribe(ears, { topic, qos: 0 });
    await expect.poll(() => heard(ears).map(({ qos }) => qos)).toEqual([0]);
  });
});

describe('options', () => {
  test('No Local: not to who published it, but to others', async () => {
    const { port } = await startTestBroker();
    const one = await device5(port, 'one');
    const two = await device5(port, 'two');
    for (const device of [one, two]) await subscribe(device, { topic: 'a', qos: 1, nl: true });
    one.send(one.publish('a', 'x', 1, 7));
    await expect.poll(() => payloads(two)).toEqual(['x']);
    await one.ping();
    expect(payloads(one)).toEqual([]);
  });

  test('No Local: nor later, when its session goes on', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const one = await connectLasting(port, 'one');
    await subscribe(one, { topic: 'a', qos: 1, nl: true });
    one.send(one.publish('a', 'x', 1, 7));
    await one.until(() => one.ids('puback').length === 1);
    one.close();
    const back = await connectLasting(port, 'one');
    await back.ping();
    expect(payloads(back)).toEqual([]);
  });

  test.each([
    [true, [true, false]],
    [false, [false, false]],
  ])('Retain As Published %j: live and queued', async (rap, flags) => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await connectLasting(port, 'ears');
    await subscribe(ears, { topic: 'a', qos: 1, rap });
    await publishFrom(port, 'a', ['retained'], 1, { retain: true });
    await publishFrom(port, 'a', ['not']);
    await expect.poll(() => heard(ears).map(({ retain }) => retain)).toEqual(flags);
    ears.close();
    const back = await connectLasting(port, 'ears');
    await expect.poll(() => heard(back).map(({ retain }) => retain)).toEqual(flags);
  });

  test('what was acknowledged of them does not come again', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await connectLasting(port, 'ears');
    await subscribe(ears, { topic: 'a', qos: 1, rap: true });
    await publishFrom(port, 'a', ['retained'], 1, { retain: true });
    await expect.poll(() => heard(ears)).toHaveLength(1);
    ears.send({ cmd: 'puback', messageId: heard(ears)[0]?.messageId ?? 0 });
    await ears.ping();
    ears.close();
    const back = await connectLasting(port, 'ears');
    await back.ping();
    expect(payloads(back)).toEqual([]);
  });

  test.each([
    [0, [1, 1]],
    [1, [1, 0]],
    [2, [0, 0]],
  ] as const)('Retain Handling %i', async (rh, counts) => {
    const { port } = await startTestBroker();
    await publishFrom(port, 'a', ['kept'], 1, { retain: true });
    const ears = await device5(port);
    let before = 0;
    for (const count of counts) {
      await subscribe(ears, { topic: 'a', qos: 1, rh });
      await expect.poll(() => heard(ears)).toHaveLength(before + count);
      await ears.ping();
      before = heard(ears).length;
    }
    expect(heard(ears).every(({ retain }) => retain)).toBe(true);
  });
});

describe('SUBACK', () => {
  test('says one code for each filter, in the order of SUBSCRIBE', async () => {
    const acl = [ruleOf({ publish: ['#'], subscribe: ['a/#', '1', '2'] })];
    const { port } = await startTestBroker({ acl });
    const ears = await device5(port);
    const asked = [
      { topic: 'a/x', qos: 1 },
      { topic: '2', qos: 2 },
      { topic: 'no', qos: 1 },
      { topic: '1', qos: 0 },
      { topic: '$share/g/a/x', qos: 2 },
      { topic: 'a/x', qos: 2 },
    ] as const;
    expect(await subscribeAll(ears, asked)).toEqual([2, 2, 0x87, 0, 2, 2]);
    const four = await RawDevice.connect(port, 4, { clientId: 'four' });
    expect(await subscribeAll(four, asked)).toEqual([2, 2, 0x80, 0, 2, 2]);
  });

  test.each([4, 5] as const)('what is no filter is refused, version %i', async (version) => {
    const { port } = await startTestBroker();
    const ears = await RawDevice.connect(port, version, { clientId: 'ears' });
    const wrong = [
      'a#',
      'b+/c',
      '+a',
      '++',
      'x/y#',
      '#a',
      '##',
      'a/+b/c',
      '#/a',
      '$share/g/a#',
      '$share/g',
    ];
    const asked = [...wrong, '$share/g/+', 'a/+', '#'].map((topic) => ({ topic, qos: 1 as const }));
    const refused = version === 5 ? 0x8f : 0x80;
    expect(await subscribeAll(ears, asked)).toEqual([...wrong.map(() => refused), 1, 1, 1]);
    for (const topic of wrong) {
      expect(await subscribe(ears, { topic, qos: 0 })).toEqual([refused]);
    }
    ears.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [...wrong, 'a/+'] });
    await ears.until(() => ears.last('unsuback') !== undefined);
    const answered = version === 5 ? [...wrong.map(() => 0x11), 0] : [];
    expect(ears.last('unsuback')?.['granted'] ?? []).toEqual(answered);
    await ears.ping();
  });

  test('a filter that is ours ends the connection', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port);
    const subscriptions = [{ topic: '$SYS/share/g/a', qos: 0 as const }];
    ears.send({ cmd: 'subscribe', messageId: 1, subscriptions });
    await ears.untilClosed();
    expect(ears.last('disconnect')?.['reasonCode']).toBe(0x8f);
  });
});
