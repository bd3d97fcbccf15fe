/**
 * A process that appends to a store until it is killed, telling every acknowledged record on its
 * output, one line each: node test/support/store-child.ts FOLDER hold|append|read|retain SEED
 */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

const [, , folder = '', what = 'hold', seed = '1'] = process.argv;
const random = seededRandom(Number(seed));
const store = await openStore({
  folder,
  clock: systemClock,
  random,
  logger: silentLogger,
  segmentBytes: 60_000,
});
const { streams } = store.writer.defineTopic('telemetry', {
  partitions: 3,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
});
writeSync(1, 'ready\n');

if (what === 'read' || what === 'scrub') {
  const wanted = store.reader.topics().flatMap((topic) => topic.streams);
  const cursor = store.reader.cursor(new Map(wanted.map((stream) => [stream, 0])));
  for (;;) {
    const { records, gaps } = await cursor.next({ maxRecords: 100, maxBytes: 100_000 });
    if (records === 0 && gaps.length === 0) break;
  }
  if (what === 'scrub') {
    writeSync(1, 'read\n');
    process.stdin.resume();
    await once(process.stdin, 'end'); // Meanwhile something happens to the files.
    await store.scrub();
    writeSync(1, `${store.counters().scrub.findings} findings\n`);
  }
  await store.close();
} else if (what === 'retain') {
  await retain();
} else if (what === 'hold') {
  process.stdin.resume();
} else {
  let sent = 0;
  let tell = '';
  const next = (): void => {
    const stream = streams[Math.floor(random.next() * streams.length)];
    if (stream === undefined) return;
    const value = Buffer.from(`${seed}-${sent++}-${'x'.repeat(Math.floor(random.next() * 400))}`);
    const repeated = random.next() < 0.2;
    const none = new Uint8Array(0);
    const done = (error: Error | null, offset: number): void => {
      if (error !== null) throw error;
      // One line for each record, written before the next append: a kill takes none back.
      tell += `${stream} ${offset} ${value.toString()}\n`;
      if (tell.length > 2000) {
        writeSync(1, tell);
        tell = '';
      }
      next();
    };
    if (repeated) {
      store.writer.appendOnce(`p${seed}`, sent, stream, sent, null, value, none, 'fsync', done);
    } else {
      store.writer.append(stream, sent, null, value, none, 'fsync', done);
    }
  };
  for (let index = 0; index < 20; index++) next();
}

/** Few records among many of a topic that is kept small: what is told is of the few. */
async function retain(): Promise<void> {
  const none = new Uint8Array(0);
  const define = (name: string, retentionBytes: number | undefined): StreamId => {
    const options = { durability: 'fsync', retentionMs: undefined, retentionBytes } as const;
    const [stream] = store.writer.defineTopic(name, { ...options, partitions: 1 }).streams;
    if (stream === undefined) throw new Error('a topic has a partition');
    return stream;
  };
  const few = define('few', undefined);
  const many = define('many', 40_000);
  const append = (stream: StreamId, value: string): Promise<number> =>
    new Promise((resolve, reject) => {
      store.writer.append(stream, 1, null, Buffer.from(value), none, 'fsync', (error, offset) =>
        error === null ? resolve(offset) : reject(error),
      );
    });
  const filling = async (): Promise<never> => {
    for (let sent = 0; ; sent++) {
      const value = `${seed}-${sent}`;
      writeSync(1, `${await append(few, value)} ${value}\n`);
      for (let part = 0; part < 20; part++) await append(many, random.hex(1000));
    }
  };
  const retaining = async (): Promise<never> => {
    for (;;) await store.retain();
  };
  await Promise.all([filling(), retaining()]);
}
