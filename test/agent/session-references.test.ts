import { afterEach, beforeEach, expect, test } from 'vitest';
import { startBroker, type Broker } from '../../src/agent/broker.ts';
import { IngestGate } from '../../src/agent/ingest.ts';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { LIMITS } from '../../src/limits.ts';
import { systemRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import type { LogReader, Store } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { listenAt } from '../support/listen.ts';
import { ingestOptions } from '../support/mqtt-broker.ts';
import { MemoryWriter } from '../support/memory-writer.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { memorySessions } from '../support/session-rig.ts';
import { inMemory, type Place } from '../support/store-kit.ts';

/** What is queued for sessions and stands in the log is not stored twice. */
let place: Place;
let store: Store;
let broker: Broker;

beforeEach(async () => {
  place = await inMemory.make();
  await begin();
});
afterEach(end);

async function begin(): Promise<void> {
  store = await place.open();
  const { writer, ledger } = store;
  const gate = new IngestGate({ ...ingestOptions(new MemoryWriter()), writer, ledger });
  const isClockSound = (): boolean => true;
  const space = store.keyValue('sessions');
  broker = await startBroker({
    gate,
    keep: { space, reader: store.reader, random: systemRandom, isClockSound },
    clock: systemClock,
    logger: silentLogger,
    listen: [listenAt('mqtt://127.0.0.1:0')],
    users: [],
    maxPacketBytes: LIMITS.mqttPacketBytes,
  });
}

async function end(): Promise<void> {
  await broker.stop();
  await store.close();
}

function port(): number {
  return Number(new URL(broker.addresses()[0] ?? '').port);
}

async function stored(): Promise<number> {
  let bytes = 0;
  for await (const [, value] of store.keyValue('sessions').scan('queue/')) bytes += value.length;
  return bytes;
}

test('a large payload is read from the log, a small one stands in the queue', async () => {
  const ears = await RawDevice.connect(port(), 4, { clientId: 'ears', clean: false });
  const subscriptions = [{ topic: '#', qos: 1 as const }];
  ears.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await ears.until(() => ears.ids('suback').length === 1);
  ears.close();
  const source = await RawDevice.connect(port(), 4, { clientId: 'source' });
  const texts = Array.from({ length: 30 }, (_, at) => `${at}:`.padEnd(at % 3 === 0 ? 10 : 20_000));
  source.send(...texts.map((text, at) => source.publish(`a/${at % 5}`, text, 1, at + 1)));
  await source.until(() => source.ids('puback').length === texts.length);
  expect(await stored()).toBeLessThan(10_000);
  expect(broker.counters().queuedBytes).toBeLessThan(20_000);
  await end();
  await begin();
  const back = await RawDevice.connect(port(), 4, { clientId: 'ears', clean: false });
  const heard = (): string[] =>
    back.packets.flatMap((one) => (one.cmd === 'publish' ? [one.payload.toString()] : []));
  await back.until(() => heard().length === texts.length);
  expect(heard()).toEqual(texts);
});

test('what the log has given up is passed over and counted', async () => {
  const gone = streamId(3);
  const reader = { cursor: (from) => cursorOver(from.has(gone)) } as Pick<LogReader, 'cursor'>;
  const persistence = new SessionPersistence(await memorySessions({ reader }));
  await persistence.addSubscriptions({ id: 'one' }, [{ topic: '#', qos: 1 }]);
  for (const [index, stream] of [gone, streamId(1)].entries()) {
    const payload = Buffer.alloc(100);
    persistence.refer(payload, { stream, offset: 5 });
    const packet = { topic: `t${index}`, payload, qos: 1 as const, brokerId: 'b' };
    await persistence.outgoingEnqueue({ clientId: 'one' }, { ...packet, brokerCounter: index });
  }
  const found = await persistence.outgoingStream({ id: 'one' }).toArray();
  expect(found).toMatchObject([{ topic: 't1', payload: Buffer.from('from the log') }]);
  expect(persistence.store.bounds.dropped).toBe(1);
  expect(await persistence.outgoingStream({ id: 'one' }).toArray()).toHaveLength(1);
});

function cursorOver(isGone: boolean): Partial<ReturnType<LogReader['cursor']>> {
  const record = { offset: 5, value: Buffer.from('from the log') };
  return {
    next: async () =>
      ({ slices: isGone ? [] : [{ stream: streamId(1), records: [record] }] }) as never,
    close: async () => {},
  };
}
