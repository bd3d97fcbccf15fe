import { expect, test } from 'vitest';
import { DeviceNumbers, type OwnNumbers } from '../../src/agent/device-numbers.ts';
import { IngestGate } from '../../src/agent/ingest.ts';
import { seededRandom } from '../../src/random.ts';
import type { Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { type Death, MortalEngine } from '../support/mortal-engine.ts';
import { ingestOptions } from '../support/mqtt-broker.ts';
import { SimClock } from '../support/sim-clock.ts';
import { FOREVER, readAll, text } from '../support/store-kit.ts';

/**
 * A device that numbers its messages, over the real store, which dies at each of its writes in turn, before
 * or after that write reached the disk. The device sends again what was not acknowledged, and one that was.
 */
const MESSAGES = 40;
const IN_FLIGHT = 3;
const NAMES = { producerProperty: 'id', sequenceProperty: 'seq', epochProperty: undefined };
const TOPIC = { ...FOREVER, partitions: 1 };
/** A segment holds a few of these. */
const FILLER = seededRandom(7).hex(400);

function open(disk: MemoryDisk, death: Death): { mortal: MortalEngine; store: Promise<Store> } {
  disk.locked = false;
  const mortal = new MortalEngine(memoryEngine(disk), death);
  const store = openStore({
    folder: 'memory',
    engine: mortal.engine(),
    clock: new SimClock(),
    random: seededRandom(1),
    logger: silentLogger,
    segmentBytes: 4096,
  });
  return { mortal, store };
}

/** Sends from `from` on until everything is acknowledged; tells each acknowledgement. */
class SendingDevice {
  readonly #gate: IngestGate;
  readonly #numbers: OwnNumbers;
  readonly #acknowledged: (number: number) => void;

  constructor(store: Store, acknowledged: (number: number) => void) {
    const topics = { telemetry: TOPIC };
    const { writer } = store;
    this.#gate = new IngestGate({ ...ingestOptions(undefined as never, { topics }), writer });
    const about = { clock: new SimClock(), logger: silentLogger };
    const numbers = new DeviceNumbers(NAMES, writer.producers, about);
    this.#numbers = numbers.of({ user: 'press', client: 'c' });
    this.#acknowledged = acknowledged;
  }

  send(number: number): Promise<void> {
    const user = ['id', 'press-1', 'seq', String(number)];
    const properties = { payloadFormat: false, user } as never;
    const mark = this.#numbers.read(properties);
    if (mark === undefined || mark === 'unreadable') throw new Error('it is numbered');
    const payload = Buffer.from(`${number} ${FILLER}`);
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => {
        if (error === null) this.#acknowledged(number);
        if (error === null) resolve();
        else reject(error);
      };
      const entry = this.#gate.entry('a');
      this.#gate.publish(entry, 'c', payload, 1, false, properties, done, mark);
    });
  }

  async sendAll(from: number): Promise<void> {
    for (let first = from; first < MESSAGES; first += IN_FLIGHT) {
      const flight = Array.from({ length: IN_FLIGHT }, (_, at) => first + at);
      await Promise.all(flight.filter((one) => one < MESSAGES).map((one) => this.send(one)));
    }
  }
}

async function lives(death: Death): Promise<{ readonly died: boolean; readonly values: string[] }> {
  const disk = new MemoryDisk();
  let acknowledged = -1;
  const note = (number: number): void => {
    acknowledged = Math.max(acknowledged, number);
  };
  const first = open(disk, death);
  const life = async (): Promise<void> => {
    await new SendingDevice(await first.store, note).sendAll(0);
    await (await first.store).close();
  };
  await Promise.race([life(), first.mortal.died]);
  const { store } = open(disk, { write: Infinity, after: false });
  const opened = await store;
  const device = new SendingDevice(opened, note);
  // An hour later, by a device that forgot that it was acknowledged.
  if (acknowledged > 0) await device.send(acknowledged - 1);
  await device.sendAll(acknowledged + 1);
  await device.send(MESSAGES - 1);
  const [stream] = opened.reader.topic('telemetry')?.streams ?? [];
  if (stream === undefined) throw new Error('the topic is there');
  const { records } = await readAll(opened, [stream]);
  const values = (records.get(stream) ?? []).map(({ value }) => text(value)?.split(' ')[0] ?? '');
  await opened.close();
  return { died: first.mortal.dead, values };
}

test.each([
  ['before', false],
  ['after', true],
])('a death %s any write: each numbered message is in the log once, in order', async (_, after) => {
  const expected = Array.from({ length: MESSAGES }, (__, number) => String(number));
  let deaths = 0;
  for (let write = 0; ; write++) {
    const { died, values } = await lives({ write, after });
    expect(values, `death ${after ? 'after' : 'before'} write ${write}`).toEqual(expected);
    if (!died) break;
    deaths++;
  }
  expect(deaths).toBeGreaterThan(MESSAGES / IN_FLIGHT);
});
