/**
 * The process under test: a store under load until it is killed, telling on its output what it was
 * promised, one line each, before it goes on: node test/crash/store-process.ts PLAN
 *
 *   opening                       the store is about to be opened
 *   open                          it stands
 *   A <topic> <partition> <offset> <id>      acknowledged
 *   P <reader> <topic> <partition> <next>    a position is durable
 *   G <reader> <topic> <partition> <from> <to> <reason>   it passed over a gap
 *   Q <sequence>                  stored already, appended once
 *   N <number>                    a note in the state database is durable
 *   E <message>                   the store itself says that something is wrong
 */
import { writeSync } from 'node:fs';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { PositionStore, Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { payloadOf } from '../support/hunt/messages.ts';
import {
  LOAD_TOPICS,
  type LoadPlan,
  NOTE_KEY,
  NOTE_SPACE,
  PRODUCER,
  READERS,
} from './load-plan.ts';
import { syncOffEngine } from './sync-off.ts';

const NONE = new Uint8Array(0);
const APPENDERS = 16;
// Without a plan it only leaves its modules in Node's compile cache.
if (process.argv[2] === undefined) process.exit(0);
const plan = JSON.parse(process.argv[2]) as LoadPlan;
const random = seededRandom(plan.seed);

function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly stream: StreamId;
  readonly durability: 'fsync' | 'os' | 'none';
}

tell('opening');
const store = await openStore({
  folder: plan.folder,
  clock: systemClock,
  random,
  logger: {
    ...silentLogger,
    error: (fields, message) => tell(`E ${message} ${JSON.stringify(fields)}`),
  },
  segmentBytes: plan.segmentBytes,
  compression: plan.compression,
  ...(plan.plant === 'sync-off' ? { engine: syncOffEngine(plan.folder) } : {}),
});
tell('open');
const places: readonly Place[] = LOAD_TOPICS.flatMap(({ name, options }) =>
  store.writer.defineTopic(name, options).streams.map((stream, partition) => ({
    topic: name,
    partition,
    stream,
    durability: options.durability,
  })),
);
let sent = 0;
let sequence = plan.sequence;

function nextMessage(): { readonly id: string; readonly value: Buffer } {
  const spread = random.next();
  const size = Math.round(plan.payloadBytes * (spread < 0.05 ? 8 : 0.2 + 1.6 * random.next()));
  const payloadBytes = Math.max(24, size);
  const id = `${plan.life}.${sent++}.${payloadBytes}`;
  return { id, value: payloadOf({ id, payloadBytes }) };
}

function appendForEver(): void {
  const place = places[Math.floor(random.next() * places.length)];
  if (place === undefined) return;
  const { topic, partition, stream, durability } = place;
  const { id, value } = nextMessage();
  const done = (error: Error | null, offset: number): void => {
    if (error !== null) throw error;
    tell(`A ${topic} ${partition} ${offset} ${id}`);
    appendForEver();
  };
  const key = Buffer.from(topic);
  store.writer.append(stream, systemClock.nowMs(), key, value, NONE, durability, done);
}

/** One after the other, as the gate of a central does; the number is the id. */
function appendOnceForEver(): void {
  const place = places[0];
  if (place === undefined) return;
  const mine = sequence++;
  const id = `once.${mine}.120`;
  const value = payloadOf({ id, payloadBytes: 120 });
  const done = (error: Error | null, offset: number): void => {
    if (error !== null) throw error;
    if (offset >= 0) tell(`A ${place.topic} ${place.partition} ${offset} ${id}`);
    else tell(`Q ${mine}`);
    appendOnceForEver();
  };
  store.writer.appendOnce(PRODUCER, mine, place.stream, 1, null, value, NONE, 'fsync', done);
}

/** A reader that takes what comes and moves its position, as a mirror does. */
async function readForEver(positions: PositionStore, name: string): Promise<void> {
  const cursor = store.reader.cursor(
    new Map(places.map(({ stream }) => [stream, positions.get(stream) ?? 0])),
  );
  const never = new AbortController().signal;
  for (;;) {
    const batch = await cursor.next({
      maxRecords: 40 + Math.floor(random.next() * 400),
      maxBytes: 400_000,
    });
    if (batch.records === 0 && batch.gaps.length === 0) {
      await cursor.wait(never);
      continue;
    }
    const next = new Map<StreamId, number>();
    for (const gap of batch.gaps) next.set(gap.stream, gap.toOffset);
    for (const { stream, records } of batch.slices) {
      const last = records.at(-1);
      if (last !== undefined) next.set(stream, last.offset + 1);
    }
    await positions.advance(next);
    for (const { stream, fromOffset, toOffset, reason } of batch.gaps) {
      const { topic, partition } = places.find((place) => place.stream === stream) ?? {};
      tell(`G ${name} ${topic} ${partition} ${fromOffset} ${toOffset} ${reason}`);
    }
    for (const { stream, topic, partition } of places) {
      const position = next.get(stream);
      if (position !== undefined) tell(`P ${name} ${topic} ${partition} ${position}`);
    }
  }
}

async function retainForEver(opened: Store): Promise<void> {
  for (;;) {
    await systemClock.sleep(5 + random.next() * 40);
    await opened.retain();
  }
}

async function noteForEver(opened: Store): Promise<void> {
  const notes = opened.keyValue(NOTE_SPACE);
  const before = await notes.get(NOTE_KEY);
  let number = before === undefined ? 0 : Number(Buffer.from(before).toString());
  for (;;) {
    await systemClock.sleep(random.next() * 20);
    await notes.put(NOTE_KEY, Buffer.from(String(++number)));
    tell(`N ${number}`);
  }
}

process.stdin.resume(); // A clock's timers do not keep a process alive.
const readers = await Promise.all(
  READERS.map(async ({ name, pins }) => {
    const positions = await store.positions(name, { pins });
    // As a mirror does with a new topic: without a position it would hold nothing back.
    const unset = places.filter(({ stream }) => positions.get(stream) === undefined);
    await positions.advance(new Map(unset.map(({ stream }) => [stream, 0])));
    return { name, positions };
  }),
);
for (let index = 0; index < APPENDERS; index++) appendForEver();
appendOnceForEver();
const work = readers.map(({ name, positions }) => readForEver(positions, name));
await Promise.all([...work, retainForEver(store), noteForEver(store)]);
