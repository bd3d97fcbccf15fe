import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { upTo } from '../../src/coverage.ts';
import { encodeHeaders } from '../../src/headers.ts';
import { LaneCursor } from '../../src/mirror/lane-cursor.ts';
import type { MirrorCursor } from '../../src/mirror/mirror-cursor.ts';
import type { Drain, TopicClass } from '../../src/mirror/selection.ts';
import { systemRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

/**
 * npm run bench:lanes [-- ROUNDS [RECORDS]]: what classes and drain orders cost a mirror that reads a
 * backlog: processor time against one cursor in the order of the log, in turns. A commit that holds
 * records of two classes is read twice. Half of the records are of one topic, half of another, one in
 * 5000 is an alarm.
 */
const ROUNDS = Number(process.argv[2] ?? 5);
const RECORDS = Number(process.argv[3] ?? 1_000_000);
const LIMITS = { maxRecords: 32_768, maxBytes: 6_291_456 };
const OPTIONS = {
  partitions: 4,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
} as const;

const folder = mkdtempSync(join(tmpdir(), 'gatelog-lanes-'));
const store = await openStore({
  folder,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
});
try {
  const topics = ['alarms', 'one', 'other'].map((name) => store.writer.defineTopic(name, OPTIONS));
  await fill(store, topics);
  const classes = (...names: readonly TopicClass[]): ((stream: StreamId) => TopicClass) => {
    const of = new Map(topics.flatMap(({ streams }, at) => streams.map((one) => [one, names[at]])));
    return (stream) => of.get(stream) ?? 'normal';
  };
  const variants: [string, () => MirrorCursor][] = [
    ['one class', () => lanes(() => 'normal')],
    ['rare alarms above', () => lanes(classes('alarm', 'normal', 'normal'))],
    ['two classes, half and half', () => lanes(classes('normal', 'high', 'normal'))],
    ['newest first', () => lanes(() => 'normal', 'newest-first')],
  ];
  const ratios = variants.map((): number[] => []);
  for (let round = 0; round <= ROUNDS; round++) {
    const plain = await cpuOf(() => store.reader.cursor(new Map([...begin().keys()].map(zero))));
    for (const [at, [, open]] of variants.entries()) {
      const ratio = (await cpuOf(open)) / plain;
      if (round > 0) ratios[at]?.push(ratio); // The first warms up.
    }
  }
  for (const [at, [name]] of variants.entries()) {
    const sorted = ratios[at]?.toSorted((left, right) => left - right) ?? [];
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    console.log(`${name}: processor time ${median.toFixed(2)} of a plain cursor's`);
  }
} finally {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
}

function zero(stream: StreamId): [StreamId, number] {
  return [stream, 0];
}

function begin(): ReadonlyMap<StreamId, ReturnType<typeof upTo>> {
  const streams = store.reader.topics().flatMap((topic) => topic.streams);
  return new Map(streams.map((stream) => [stream, upTo(0)]));
}

function lanes(
  classOf: (stream: StreamId) => TopicClass,
  drain: Drain = 'backlog-first',
): MirrorCursor {
  const treatmentOf = (stream: StreamId) => ({ class: classOf(stream), drain });
  return new LaneCursor({ reader: store.reader, from: begin(), treatmentOf });
}

/** In ms, for all records. */
async function cpuOf(open: () => MirrorCursor): Promise<number> {
  const began = process.cpuUsage();
  const cursor = open();
  let records = 0;
  for (;;) {
    const batch = await cursor.next(LIMITS);
    if (batch.records === 0) break;
    records += batch.records;
    batch.release?.();
  }
  await cursor.close();
  if (records !== RECORDS) throw new Error(`${records} records of ${RECORDS}`);
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
}

async function fill({ writer }: Store, topics: readonly TopicInfo[]): Promise<void> {
  const headers = encodeHeaders(
    ['mqtt.topic', 'mqtt.qos', 'mqtt.retain'].map((key) => ({ key, value: Buffer.from(key) })),
  );
  let failed: Error | null = null;
  for (let index = 0; index < RECORDS; index++) {
    const topic = topics[index % 5000 === 0 ? 0 : 1 + (index % 2)];
    const stream = topic?.streams[(index >> 1) % OPTIONS.partitions];
    if (stream === undefined) throw new Error('within the topics');
    const value = Buffer.from(JSON.stringify({ index, text: 'x'.repeat(index % 90) }));
    const key = Buffer.from(`device-${index % 1000}`);
    writer.append(stream, index, key, value, headers, 'fsync', (error) => {
      failed ??= error;
    });
    if (writer.pendingBytes() > 500_000) await writer.relieved();
  }
  await new Promise<void>((resolve) => {
    writer.settled(() => resolve());
  });
  if (failed !== null) throw new Error('the store did not take a record', { cause: failed });
}
