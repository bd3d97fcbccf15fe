import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { MqttClient } from 'mqtt';
import { expect, test } from 'vitest';
import { Blame } from '../../../src/mirror/mqtt/blame.ts';
import { OwnRecords } from '../../../src/mirror/mqtt/own-records.ts';
import { SendWindow } from '../../../src/mirror/mqtt/send-window.ts';
import { PacketIds, PacketStore } from '../../../src/mirror/mqtt/resumption.ts';
import { MqttSession } from '../../../src/mirror/mqtt/session.ts';
import { streamId } from '../../../src/record.ts';
import type { KeyValue } from '../../../src/store/log.ts';
import { handshakesOf } from '../../support/handshakes.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** What is published waits for the test to answer it. */
class AskedClient extends EventEmitter {
  readonly stream: PassThrough = new PassThrough().resume();
  readonly published: { topic: string; text: string; acked: (error?: Error) => void }[] = [];
  publish(topic: string, payload: Buffer, _options: object, acked: () => void): void {
    this.published.push({ topic, text: payload.toString(), acked });
  }
  end(_force: boolean, _options: object, ended: () => void): void {
    ended();
  }
}

const PARTITIONS = 50;

async function begun(): Promise<{
  client: AskedClient;
  session: MqttSession;
  writes: () => number;
  settle: () => Promise<void>;
}> {
  const client = new AskedClient();
  const log = new MemoryLog();
  let writes = 0;
  const values: KeyValue = {
    ...log.keyValue,
    get: (key) => log.keyValue.get(key),
    delete: (key) => log.keyValue.delete(key),
    put: async (key, value) => {
      writes++;
      await log.keyValue.put(key, value);
    },
  };
  const own = new OwnRecords(values, log.reader);
  const owner = { where: 'mqtt://far', gateway: 'gw', incarnation: 'abc' };
  const streams = Array.from({ length: PARTITIONS }, (_, partition) => ({
    stream: streamId(partition),
    topic: 't',
    partition,
  }));
  const places = await own.begin(owner, streams, new Map());
  writes = 0;
  const session = new MqttSession({
    client: client as unknown as MqttClient,
    ...owner,
    places,
    own,
    rules: {
      topicTemplate: '{mqttTopic}',
      gateway: 'gw',
      qos: 1,
      keepRetain: true,
      withProperties: true,
      maxPacketBytes: undefined,
    },
    qos: 1,
    window: new SendWindow({ packets: 1000 }),
    smallMs: 10,
    ackMs: 30_000,
    keepaliveMs: 30_000,
    blame: new Blame(),
    handshakes: handshakesOf(log.keyValue, log.reader, log.positions()),
    ids: new PacketIds(),
    store: new PacketStore(),
    clock: new SimClock(),
  });
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++)
      await new Promise((resolve) => void setImmediate(resolve));
  };
  return { client, session, writes: () => writes, settle };
}

/** Two records of each partition, in turn. */
function batch(): Parameters<MqttSession['send']>[0] {
  return [0, 1].flatMap((offset) =>
    Array.from({ length: PARTITIONS }, (_, partition) => ({
      stream: streamId(partition),
      records: [
        {
          offset,
          timestampMs: 0,
          key: null,
          value: Buffer.from(`${partition}/${offset}`),
          headers: new Uint8Array(0),
        },
      ],
    })),
  );
}

test('the first records of all partitions go in one round trip, with two writes for all of them', async () => {
  const { client, session, writes, settle } = await begun();
  const sent = session.send(batch());
  await settle();
  const firsts = client.published.map(({ text }) => text);
  expect(firsts).toEqual(Array.from({ length: PARTITIONS }, (_, partition) => `${partition}/0`));
  expect(writes()).toBe(1);
  // Nothing else goes before the last of them is answered.
  for (const { acked } of client.published.slice(0, -1)) acked();
  await settle();
  expect(client.published).toHaveLength(PARTITIONS);
  client.published.at(-1)?.acked();
  await settle();
  expect(writes()).toBe(2);
  expect(client.published.slice(PARTITIONS).map(({ text }) => text)).toEqual(
    Array.from({ length: PARTITIONS }, (_, partition) => `${partition}/1`),
  );
  for (const { acked } of client.published.slice(PARTITIONS)) acked();
  expect(await sent).toMatchObject({ rejected: [] });
  expect(writes()).toBe(2);
  await session.close();
});

test('a refused first record proves nothing: the next one is the first, and alone', async () => {
  const { client, session, settle } = await begun();
  const sent = session.send(batch());
  await settle();
  const refusal = Object.assign(new Error('Payload format invalid'), { code: 0x99 });
  for (const [at, { acked }] of client.published.entries()) acked(at === 7 ? refusal : undefined);
  await settle();
  expect(client.published.slice(PARTITIONS).map(({ text }) => text)).toEqual(['7/1']);
  client.published[PARTITIONS]?.acked();
  await settle();
  for (const { acked } of client.published.slice(PARTITIONS + 1)) acked();
  expect(client.published).toHaveLength(2 * PARTITIONS);
  const { rejected } = await sent;
  expect(rejected).toMatchObject([{ stream: 7, offset: 0 }]);
  await session.close();
});

test('a refused first record is told in the receipt of its own batch, not of the one before', async () => {
  const { client, session, settle } = await begun();
  const of = (partition: number): Parameters<MqttSession['send']>[0] =>
    batch().filter(({ stream }) => stream === streamId(partition));
  const before = session.send(of(0));
  await settle();
  client.published[0]?.acked();
  await settle();
  // The second record of the batch before is out and not answered.
  const after = session.send(of(1));
  await settle();
  expect(client.published.map(({ text }) => text)).toEqual(['0/0', '0/1', '1/0']);
  client.published[2]?.acked(Object.assign(new Error('Payload format invalid'), { code: 0x99 }));
  client.published[1]?.acked();
  await settle();
  expect(await before).toMatchObject({ rejected: [] });
  client.published[3]?.acked();
  expect((await after).rejected).toMatchObject([{ stream: streamId(1), offset: 0 }]);
  await session.close();
});
