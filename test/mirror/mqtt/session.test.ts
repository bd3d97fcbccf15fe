import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { MqttClient } from 'mqtt';
import { expect, test } from 'vitest';
import { Blame } from '../../../src/mirror/mqtt/blame.ts';
import { OwnRecords } from '../../../src/mirror/mqtt/own-records.ts';
import { SendWindow } from '../../../src/mirror/mqtt/send-window.ts';
import type { Handshakes } from '../../../src/mirror/mqtt/handshakes.ts';
import { PacketIds, PacketStore } from '../../../src/mirror/mqtt/resumption.ts';
import { MqttSession } from '../../../src/mirror/mqtt/session.ts';
import { type LogRecord, streamId } from '../../../src/record.ts';
import { handshakesOf } from '../../support/handshakes.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** A client whose socket takes one packet and then is full, and whose acknowledgements still come. */
class FullClient extends EventEmitter {
  readonly stream: PassThrough = new PassThrough({ highWaterMark: 1 });
  readonly acks: ((error?: Error) => void)[] = [];

  publish(_topic: string, payload: Buffer, _options: object, acked: () => void): void {
    this.acks.push(acked);
    this.stream.write(payload);
  }

  end(_force: boolean, _options: object, ended: () => void): void {
    ended();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const stream = streamId(0);

function sessionWith(
  client: FullClient,
  handshakes: Handshakes,
  { log, qos }: { readonly log: MemoryLog; readonly qos: 1 | 2 },
): MqttSession {
  const own = new OwnRecords(log.keyValue, log.reader);
  const owner = { where: 'mqtt://far', gateway: 'gw', incarnation: 'abc' };
  return new MqttSession({
    client: client as unknown as MqttClient,
    where: 'mqtt://far',
    places: own.unwatched(owner, [{ stream, topic: 't', partition: 0 }]),
    own,
    gateway: 'gw',
    incarnation: 'abc',
    rules: {
      topicTemplate: '{mqttTopic}',
      gateway: 'gw',
      qos,
      keepRetain: true,
      withProperties: true,
      maxPacketBytes: undefined,
    },
    qos,
    window: new SendWindow({ packets: 50 }),
    smallMs: 10,
    ackMs: 30_000,
    keepaliveMs: 30_000,
    blame: new Blame(),
    handshakes,
    ids: new PacketIds(),
    store: new PacketStore(),
    clock: new SimClock(),
  });
}

function someRecords(): LogRecord[] {
  return Array.from({ length: 100 }, (_, offset) => ({
    offset,
    timestampMs: 0,
    key: null,
    value: Buffer.from('value'),
    headers: new Uint8Array(0),
  }));
}

test('while the socket is full, acknowledgements do not pile up listeners; then it goes on', async () => {
  const client = new FullClient();
  const log = new MemoryLog();
  const handshakes = handshakesOf(log.keyValue, log.reader, log.positions());
  const session = sessionWith(client, handshakes, { log, qos: 1 });
  const records = someRecords();
  const sent = session.send([{ stream, records }]);
  await turn();
  expect(client.acks.length).toBe(50);
  expect(client.stream.writableNeedDrain).toBe(true);
  for (const acked of client.acks.slice(0, 30)) {
    acked();
    await turn();
  }
  expect(client.stream.listenerCount('drain')).toBe(1);
  expect(client.acks.length).toBe(50);
  client.stream.resume();
  for (let done = 30; done < 100; done++) {
    while (client.acks[done] === undefined) await turn();
    client.acks[done]?.();
  }
  expect(await sent).toMatchObject({ rejected: [] });
  await session.close();
});

test('with QoS 2 nothing leaves before its packet id is durable', async () => {
  const client = new FullClient();
  client.stream.resume();
  const log = new MemoryLog();
  const noted = Promise.withResolvers<void>();
  const values = { ...log.keyValue, put: () => noted.promise };
  const handshakes = handshakesOf(values, log.reader, log.positions());
  await handshakes.begin('far', [stream], new Set());
  handshakes.isDurable = true;
  const session = sessionWith(client, handshakes, { log, qos: 2 });
  const sent = session.send([{ stream, records: someRecords() }]);
  sent.catch(() => {}); // It ends with the session.
  await turn();
  await turn();
  expect(client.acks.length).toBe(0);
  noted.resolve();
  await turn();
  await turn();
  expect(client.acks.length).toBeGreaterThan(0);
  await session.close();
});
