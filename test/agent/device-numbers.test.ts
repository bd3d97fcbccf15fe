import { afterEach, describe, expect, test } from 'vitest';
import type { DedupConfig } from '../../src/agent/config-types.ts';
import { MemorySpace } from '../../src/agent/no-store.ts';
import { greatestOf } from '../../src/agent/number-window.ts';
import { GatelogError } from '../../src/errors.ts';
import { DEVICE_PRODUCER } from '../../src/store/log.ts';
import type { MemoryWriter } from '../support/memory-writer.ts';
import {
  startTestBroker,
  stopTestBrokers,
  type TestBrokerOptions,
} from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';

afterEach(stopTestBrokers);

const DEDUP: DedupConfig = {
  producerProperty: 'producer',
  sequenceProperty: 'seq',
  epochProperty: undefined,
};

type User = Record<string, string | string[]>;

const user = (userProperties: User): { properties: { userProperties: User } } => ({
  properties: { userProperties },
});
const numbered = (seq: number | string, producer = 'p', more: User = {}): ReturnType<typeof user> =>
  user({ producer, seq: String(seq), ...more });

async function broker(
  more: Omit<TestBrokerOptions, 'dedup'> & { readonly dedup?: Partial<DedupConfig> } = {},
): Promise<{
  readonly port: number;
  readonly writer: MemoryWriter;
  readonly dedup: () => unknown;
}> {
  const started = await startTestBroker({ ...more, dedup: { ...DEDUP, ...more.dedup } });
  const dedup = (): unknown => started.broker.counters().dedup;
  return { port: started.port, writer: started.writer, dedup };
}

/** Publishes at QoS 1 and waits for the answers; gives what they said. */
async function publish(
  device: RawDevice,
  messages: readonly (readonly [payload: string, extra: Record<string, unknown>])[],
): Promise<readonly Record<string, unknown>[]> {
  const before = device.ids('puback').length;
  device.send(
    ...messages.map(([payload, extra], at) => device.publish('a', payload, 1, at + 1, extra)),
  );
  await device.until(() => device.ids('puback').length === before + messages.length);
  return device.packets
    .filter(({ cmd }) => cmd === 'puback')
    .slice(before)
    .map((packet) => packet as unknown as Record<string, unknown>);
}

function lastOf(answer: Record<string, unknown> | undefined): string | undefined {
  const { properties } = (answer ?? {}) as {
    properties?: { userProperties?: Record<string, string> };
  };
  return properties?.userProperties?.['gatelog.last'];
}

function reasonOf(answer: Record<string, unknown> | undefined): string | undefined {
  const { properties } = (answer ?? {}) as { properties?: { reasonString?: string } };
  return properties?.reasonString;
}

describe('a numbered message is in the log once', () => {
  test('in the same connection, in another one, and after a start', async () => {
    const { port, writer } = await broker();
    const device = await RawDevice.connect(port, 5);
    await publish(device, [
      ['one', numbered(1)],
      ['two', numbered(2)],
      ['two again', numbered(2)],
    ]);
    const again = await RawDevice.connect(port, 5);
    await publish(again, [
      ['one again', numbered(1)],
      ['three', numbered(3)],
    ]);
    expect(writer.values()).toEqual(['one', 'two', 'three']);
    await stopTestBrokers();
    const next = await broker({ writer });
    const later = await RawDevice.connect(next.port, 5);
    const answers = await publish(later, [
      ['one', numbered(1)],
      ['four', numbered(4)],
    ]);
    expect(writer.values()).toEqual(['one', 'two', 'three', 'four']);
    expect(answers.map(lastOf)).toEqual(['3', undefined]);
    expect(answers.map(({ reasonCode }) => reasonCode ?? 0)).toEqual([0, 0]);
  });

  test('the producer stands with the record, and the numbers in its headers', async () => {
    const { port, writer } = await broker();
    await publish(await RawDevice.connect(port, 5), [['one', numbered(7)]]);
    const [record] = writer.records;
    expect(greatestOf(record?.sequence ?? -1)).toBe(7);
    expect(record?.producer).toMatch(/^~device\/[\w-]{16}\/[\w-]{16}$/u);
    expect(Buffer.from(record?.headers ?? []).toString()).toContain('seq');
  });

  test('at QoS 0 and 2 too', async () => {
    const { port, writer } = await broker();
    const device = await RawDevice.connect(port, 5);
    device.send(
      device.publish('a', 'one', 0, 0, numbered(1)),
      device.publish('a', 'one', 2, 1, numbered(1)),
      device.publish('a', 'two', 2, 2, numbered(2)),
      device.publish('a', 'two', 0, 0, numbered(2)),
    );
    await device.until(() => device.ids('pubrec').length === 2);
    device.send({ cmd: 'pubrel', messageId: 1 }, { cmd: 'pubrel', messageId: 2 });
    await device.until(() => device.ids('pubcomp').length === 2);
    await publish(device, [['two', numbered(2)]]);
    expect(writer.values()).toEqual(['one', 'two']);
  });

  test('a session that resends QoS 2 after a start finds its number', async () => {
    const LASTING = { clientId: 'c', clean: false, properties: { sessionExpiryInterval: 3600 } };
    const { port, writer } = await broker({ keep: {} });
    const device = await RawDevice.connect(port, 5, LASTING);
    device.send(device.publish('a', 'one', 2, 9, numbered(1)));
    await device.until(() => device.ids('pubrec').length === 1);
    await stopTestBrokers();
    const next = await broker({ keep: {}, writer });
    const again = await RawDevice.connect(next.port, 5, LASTING);
    again.send(again.publish('a', 'one', 2, 9, { ...numbered(1), dup: true }));
    await again.until(() => again.ids('pubrec').length === 1);
    again.send({ cmd: 'pubrel', messageId: 9 });
    await again.until(() => again.ids('pubcomp').length === 1);
    expect(writer.values()).toEqual(['one']);
  });

  test('subscribers that are away get it, also where only the log had it', async () => {
    const EARS = { clientId: 'ears', clean: false, properties: { sessionExpiryInterval: 3600 } };
    const space = new MemorySpace();
    const { port, writer } = await broker({ keep: { space } });
    await publish(await RawDevice.connect(port, 5), [['one', numbered(1)]]);
    await stopTestBrokers();
    // As if it had died before the message stood in the queue.
    const next = await broker({ keep: { space }, writer });
    const ears = await RawDevice.connect(next.port, 5, EARS);
    ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 1 }] });
    await ears.until(() => ears.ids('suback').length === 1);
    ears.close();
    await publish(await RawDevice.connect(next.port, 5), [['one', numbered(1)]]);
    const again = await RawDevice.connect(next.port, 5, EARS);
    await again.until(() => again.last('publish') !== undefined);
    expect(String(again.last('publish')?.['payload'])).toBe('one');
    expect(writer.values()).toEqual(['one']);
  });

  test('a repeat sets back nothing that was retained since; one whose retained message was lost sets it', async () => {
    const { port, writer } = await broker();
    const device = await RawDevice.connect(port, 5);
    const retained = (seq: number): Record<string, unknown> => ({ ...numbered(seq), retain: true });
    const shown = async (): Promise<string> => {
      const ears = await RawDevice.connect(port, 5, { clientId: 'ears' });
      ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] });
      await ears.until(() => ears.last('publish') !== undefined);
      return String(ears.last('publish')?.['payload']);
    };
    await publish(device, [
      ['new', retained(401)],
      ['newer', retained(402)],
      ['new', retained(401)],
    ]);
    expect(await shown()).toBe('newer');
    const other = await RawDevice.connect(port, 5, { clientId: 'other' });
    await publish(other, [['set back by a crash', { retain: true }]]);
    await publish(device, [['newer', retained(402)]]);
    expect(await shown()).toBe('newer');
    expect(writer.values()).toEqual(['new', 'newer', 'set back by a crash']);
  });

  test('not where the write failed: it is new then', async () => {
    const { port, writer } = await broker();
    const device = await RawDevice.connect(port, 5);
    writer.fail(new GatelogError('STORE_FULL', 'the disk is full'));
    device.send(device.publish('a', 'one', 1, 1, numbered(1)));
    await device.untilClosed();
    writer.mend();
    await publish(await RawDevice.connect(port, 5), [['one', numbered(1)]]);
    expect(writer.values()).toEqual(['one']);
  });
});

describe('numbers', () => {
  test('of another producer or of another epoch begin anew, old ones stay known', async () => {
    const { port, writer } = await broker({ dedup: { epochProperty: 'boot' } });
    const device = await RawDevice.connect(port, 5);
    await publish(device, [
      ['p5', numbered(5)],
      ['q1', numbered(1, 'q')],
      ['p1 of boot 2', numbered(1, 'p', { boot: '2' })],
      ['p1 of boot 2 again', numbered(1, 'p', { boot: '2' })],
      ['p5 again', numbered(5)],
      ['no other split', numbered(1, 'p","2')],
    ]);
    expect(writer.values()).toEqual(['p5', 'q1', 'p1 of boot 2', 'no other split']);
  });

  test('that go back are repeats, and the answer says where to go on', async () => {
    const { port, writer, dedup } = await broker();
    const answers = await publish(await RawDevice.connect(port, 5), [
      ['twenty', numbered(20)],
      ['one', numbered(1)],
    ]);
    expect(lastOf(answers[1])).toBe('20');
    expect(writer.values()).toEqual(['twenty']);
    expect(dedup()).toMatchObject({ repeats: 1, gaps: 0 });
  });

  test('up to ten behind the greatest may come late, each once', async () => {
    const { port, writer, dedup } = await broker();
    const order = [1, 12, 11, 2, 11, 1, 13, 2, 3, 30, 29, 19, 20, 20];
    const device = await RawDevice.connect(port, 5);
    await publish(
      device,
      order.map((seq) => [String(seq), numbered(seq)]),
    );
    expect(writer.values()).toEqual(['1', '12', '11', '2', '13', '3', '30', '29', '20']);
    expect(dedup()).toMatchObject({ repeats: 5, gaps: 2, late: 5 });
    await stopTestBrokers();
    const next = await broker({ writer });
    const again = await RawDevice.connect(next.port, 5);
    await publish(again, [
      ['28', numbered(28)],
      ['20', numbered(20)],
    ]);
    expect(writer.values().slice(-2)).toEqual(['20', '28']);
  });

  test('with gaps are taken, and the gaps counted', async () => {
    const { port, writer, dedup } = await broker();
    await publish(await RawDevice.connect(port, 5), [
      ['3', numbered(3)],
      ['4', numbered(4)],
      ['9', numbered(9)],
      ['8796093022207', numbered('8796093022207')],
    ]);
    expect(writer.values()).toEqual(['3', '4', '9', '8796093022207']);
    expect(dedup()).toEqual({
      remembered: 1,
      atMost: 16_384,
      forgotten: 0,
      repeats: 0,
      gaps: 2,
      late: 0,
      unreadable: 0,
    });
  });

  test.each<[string, User]>([
    ['no sequence', { producer: 'p' }],
    ['no producer', { seq: '1' }],
    ['an empty producer', { producer: '', seq: '1' }],
    ['a word', { producer: 'p', seq: 'one' }],
    ['a negative one', { producer: 'p', seq: '-1' }],
    ['a fraction', { producer: 'p', seq: '1.5' }],
    ['one too large', { producer: 'p', seq: '8796093022208' }],
    ['two sequences', { producer: 'p', seq: ['1', '2'] }],
    ['two producers', { producer: ['p', 'q'], seq: '1' }],
  ])('that can’t be read are none, and the device is told: %s', async (_, properties) => {
    const logger = rememberingLogger();
    const { port, writer, dedup } = await broker({ logger });
    const device = await RawDevice.connect(port, 5);
    const answers = await publish(device, [
      ['x', user(properties)],
      ['x', user(properties)],
      ['y', {}],
    ]);
    expect(writer.values()).toEqual(['x', 'x', 'y']);
    expect(answers.map(({ reasonCode }) => reasonCode ?? 0)).toEqual([0, 0, 0]);
    expect(answers.map(reasonOf)).toEqual([
      ...Array.from({ length: 2 }, () => expect.stringMatching(/^expected producer and seq, /u)),
      undefined,
    ]);
    expect(dedup()).toMatchObject({ unreadable: 2, repeats: 0 });
    expect(JSON.stringify(logger.lines)).toContain('expected producer and seq');
  });

  test('that can’t be read are told only to who wants to hear of problems', async () => {
    const { port } = await broker();
    const silent = { properties: { requestProblemInformation: false } };
    const device = await RawDevice.connect(port, 5, silent);
    const answers = await publish(device, [['x', user({ producer: 'p' })]]);
    expect(answers.map(reasonOf)).toEqual([undefined]);
  });

  test('say nothing where they are not asked for', async () => {
    const { port, writer, broker: plain } = await startTestBroker();
    await publish(await RawDevice.connect(port, 5), [
      ['one', numbered(1)],
      ['one', numbered(1)],
    ]);
    expect(writer.values()).toEqual(['one', 'one']);
    expect(plain.counters().dedup).toBeNull();
  });
});

describe('whose numbers they are', () => {
  test('a user’s, from whatever client, and no other user’s', async () => {
    const users = ['ann', 'bob'].map((username) => ({ username, password: 'x' }));
    const { port, writer } = await broker({ users });
    const by = (username: string, clientId: string): Promise<RawDevice> =>
      RawDevice.connect(port, 5, { username, password: Buffer.from('x'), clientId });
    await publish(await by('ann', 'one'), [['ann', numbered(5)]]);
    await publish(await by('bob', 'two'), [['bob', numbered(4)]]);
    await publish(await by('ann', 'three'), [['ann', numbered(5)]]);
    await publish(await by('bob', 'four'), [['bob', numbered(4)]]);
    expect(writer.values()).toEqual(['ann', 'bob']);
  });

  test('a client’s, where nobody has a name, also where it is called as a user', async () => {
    const { port, writer } = await broker();
    for (const clientId of ['one', 'two', 'one', 'user one', 'client one']) {
      await publish(await RawDevice.connect(port, 5, { clientId }), [[clientId, numbered(5)]]);
    }
    expect(writer.values()).toEqual(['one', 'two', 'user one', 'client one']);
  });

  test.each([true, false])(
    'not ours, where another gateway passes them on (central: %s)',
    async (central) => {
      const { port, writer } = await broker({ ingest: { central } });
      const from = (gateway: string): ReturnType<typeof user> =>
        numbered(5, 'p', { 'gatelog.id': `${gateway}/0123456789abcdef/telemetry/0/3` });
      await publish(await RawDevice.connect(port, 5), [
        ['a', from('a')],
        ['b', from('b')],
      ]);
      expect(writer.values()).toEqual(['a', 'b']);
      expect([...writer.producers.startingWith(DEVICE_PRODUCER)]).toEqual([]);
    },
  );
});
