/**
 * A process that appends to a store until it is killed, telling every acknowledged record on its
 * output, one line each: node test/support/store-child.ts FOLDER hold|append|read SEED
 */
import { writeSync } from 'node:fs';
import { seededRandom } from '../../src/random.ts';
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

if (what === 'read') {
  const wanted = store.reader.topics().flatMap((topic) => topic.streams);
  const cursor = store.reader.cursor(new Map(wanted.map((stream) => [stream, 0])));
  for (;;) {
    const { records, gaps } = await cursor.next({ maxRecords: 100, maxBytes: 100_000 });
    if (records === 0 && gaps.length === 0) break;
  }
  await store.close();
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
