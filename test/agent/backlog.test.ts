import { afterEach, beforeEach, expect, test } from 'vitest';
import { startBroker, type Broker } from '../../src/agent/broker.ts';
import { IngestGate } from '../../src/agent/ingest.ts';
import { LIMITS } from '../../src/limits.ts';
import { systemRandom } from '../../src/random.ts';
import type { Store } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { listenAt } from '../support/listen.ts';
import { ingestOptions } from '../support/mqtt-broker.ts';
import { MemoryWriter } from '../support/memory-writer.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import {
  connectLasting,
  heard,
  payloads,
  publishFrom,
  subscribe,
} from '../support/mqtt-session.ts';
import { inMemory } from '../support/store-kit.ts';

/**
 * A lasting session's queue that is much larger than what may be under way to its device: references into the log,
 * so that it is within the bound of queues, and payloads that are not.
 */
const TEXTS = Array.from({ length: 600 }, (_, at) => `${at} ${'x'.repeat(10_000)}`);
const ALL = Array.from({ length: TEXTS.length + 1 }, (_, at) => at);
let store: Store;
let broker: Broker;
let port = 0;

beforeEach(async () => {
  const place = await inMemory.make();
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
  port = Number(new URL(broker.addresses()[0] ?? '').port);
});

afterEach(async () => {
  await broker.stop();
  await store.close();
});

/** Says of each message that came, and that comes, that it has it; up to so many packets. */
function acknowledge(device: RawDevice, most = Infinity): void {
  let seen = 0;
  const say = (): void => {
    if (seen > most) return;
    for (const { cmd, messageId = 0, ...rest } of device.packets.slice(seen)) {
      const { qos } = rest as { qos?: number };
      if (cmd === 'publish') device.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId });
      if (cmd === 'pubrel') device.send({ cmd: 'pubcomp', messageId });
    }
    seen = device.packets.length;
  };
  device.socket.on('data', say);
  say();
}

test.each([
  [1, 'while it is away', 3],
  [1, 'while it is there', 3],
  [2, 'while it is away', 10],
  [2, 'while it is there', 10],
] as const)('QoS %i, %s: it comes in order, as it is acknowledged', async (qos, when, maximum) => {
  const properties = { receiveMaximum: maximum };
  let ears = await connectLasting(port, 'ears', properties);
  await subscribe(ears, { topic: 'a', qos });
  if (when === 'while it is away') ears.close();
  await publishFrom(port, 'a', TEXTS, qos);
  if (when === 'while it is away') ears = await connectLasting(port, 'ears', properties);
  await expect.poll(() => payloads(ears).length).toBe(maximum);
  acknowledge(ears);
  // What comes now does not pass it.
  await publishFrom(port, 'a', [String(TEXTS.length)], qos);
  await expect.poll(() => payloads(ears).length).toBe(ALL.length);
  expect(payloads(ears).map((text) => Number.parseInt(text, 10))).toEqual(ALL);
  expect(heard(ears).every(({ dup }) => !dup)).toBe(true);
  await expect.poll(() => broker.counters().queuedBytes).toBe(0);
  expect(broker.counters()).toMatchObject({ notKept: 0 });
});

test('a device that leaves in the middle of it goes on where it was', async () => {
  const properties = { receiveMaximum: 5 };
  let ears = await connectLasting(port, 'ears', properties);
  await subscribe(ears, { topic: 'a', qos: 1 });
  await publishFrom(port, 'a', TEXTS);
  const got: number[] = [];
  for (let life = 0; life < 4; life++) {
    acknowledge(ears, 50);
    const device = ears;
    await expect.poll(() => payloads(device).length).toBeGreaterThan(50);
    device.close();
    got.push(...payloads(device).map((text) => Number.parseInt(text, 10)));
    ears = await connectLasting(port, 'ears', properties);
    // What was not acknowledged comes again first, and is marked.
    await expect.poll(() => heard(ears).length).toBe(properties.receiveMaximum);
    expect(heard(ears).every(({ dup }) => dup)).toBe(true);
  }
  acknowledge(ears);
  await expect.poll(() => broker.counters().queuedBytes).toBe(0);
  got.push(...payloads(ears).map((text) => Number.parseInt(text, 10)));
  expect([...new Set(got)]).toEqual(ALL.slice(0, -1));
});
