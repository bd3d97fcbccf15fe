import { readFileSync, writeSync } from 'node:fs';
import type { StreamId } from '../../src/record.ts';
import { seededRandom, systemRandom } from '../../src/random.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore, type StoreOptions } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

/**
 * Data of the measurements in docs/leveldb.md: JSON of about 114 B with a device key of 8 B, 1000 devices whose
 * rate goes with rank^-0.7, 8 topics of 8 partitions weighted 40:25:12:8:6:4:3:2, values from a
 * pool of 32,768 records.
 */
const POOL = 32_768;
const DEVICES = 1000;
const WEIGHTS = [40, 25, 12, 8, 6, 4, 3, 2];

export interface Sample {
  readonly topic: number;
  readonly partition: number;
  readonly key: Buffer;
  readonly value: Buffer;
}

export function samples(): Sample[] {
  const random = seededRandom(7);
  const ranks = cumulative(Array.from({ length: DEVICES }, (_, rank) => (rank + 1) ** -0.7));
  const topics = cumulative(WEIGHTS);
  return Array.from({ length: POOL }, () => {
    const device = pick(ranks, random.next());
    const number = (scale: number, digits: number): string =>
      (random.next() * scale).toFixed(digits);
    const value =
      `{"id":"dev${String(device).padStart(5, '0')}","ts":${1_700_000_000_000 + Math.floor(random.next() * 1e9)},` +
      `"temp":${number(40, 2)},"hum":${number(100, 1)},"volt":${number(4, 3)},"seq":${number(1e6, 0)},"ok":true,"rssi":-${number(90, 0)},"err":0}`;
    return {
      topic: pick(topics, random.next()),
      partition: device % 8,
      key: Buffer.from(`d${String(device).padStart(7, '0')}`),
      value: Buffer.from(value),
    };
  });
}

function cumulative(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  return weights.map((weight) => (sum += weight / total));
}

function pick(cumulated: readonly number[], at: number): number {
  const found = cumulated.findIndex((bound) => at <= bound);
  return found < 0 ? cumulated.length - 1 : found;
}

export function open(folder: string, options: Partial<StoreOptions> = {}): Promise<Store> {
  return openStore({
    folder,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    ...options,
  });
}

export function defineTopics(store: Store): TopicInfo[] {
  return WEIGHTS.map((_, index) =>
    store.writer.defineTopic(`topic-${index}`, {
      partitions: 8,
      durability: 'fsync',
      retentionMs: undefined,
      retentionBytes: undefined,
    }),
  );
}

export function streamOf(topics: readonly TopicInfo[], sample: Sample): StreamId {
  return topics[sample.topic]?.streams[sample.partition] as StreamId;
}

/** Bytes this process made dirty, as the kernel counts them (4 KiB pages). */
export function writtenBytes(): number {
  return Number(/^write_bytes: (\d+)$/mu.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

export function rssAnonMiB(): number {
  const kib = /^RssAnon:\s+(\d+) kB$/mu.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** Keeps the peak of RssAnon, sampled where the caller says. */
export class RssPeak {
  mib: number = rssAnonMiB();

  sample(): void {
    this.mib = Math.max(this.mib, rssAnonMiB());
  }
}

export function say(line: string): void {
  writeSync(1, `${line}\n`);
}
