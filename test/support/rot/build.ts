import { createHash } from 'node:crypto';
import { cp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeHeaders } from '../../../src/headers.ts';
import { seededRandom, type Random } from '../../../src/random.ts';
import type { LogRecord, StreamId } from '../../../src/record.ts';
import { readHead } from '../../../src/store/commit-head.ts';
import { entryKey, parseKey } from '../../../src/store/commit-key.ts';
import { readFrame } from '../../../src/store/frame.ts';
import { levelEngine } from '../../../src/store/level-engine.ts';
import type { Store } from '../../../src/store/log.ts';
import { openStore } from '../../../src/store/open.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';

/** A record that was acknowledged: what it is, and which files of the log hold it. */
export interface Known {
  /** Of key, value, headers and time. */
  readonly digest: string;
  readonly bytes: number;
  commit: number;
  segment: number;
}

export interface Model {
  readonly seed: number;
  readonly incarnation: string;
  readonly clean: boolean;
  /** By `topic/partition`: one entry for each offset. */
  readonly streams: Readonly<Record<string, Known[]>>;
  /** By `topic/partition`: how many there were when the state database was surely written last. */
  readonly noted: Readonly<Record<string, number>>;
  /** Positions that a reader ever had, by `topic/partition`, ascending. */
  readonly positions: Readonly<Record<string, number[]>>;
  readonly segments: readonly number[];
  /** Ledger entries that were recorded, as `topic/partition from-to`. */
  readonly losses: readonly string[];
}

/** Several blocks of a table, so that losing one is told from losing the segment. */
const SEGMENT_BYTES = 400_000;
export const READER = 'mirror';
const TOPICS: Readonly<Record<string, number>> = { telemetry: 3, events: 1, _quarantine: 1 };
const ROUNDS = 5;
const COMMITS_A_ROUND = 160;

export function digestOf(record: Omit<LogRecord, 'offset'>): string {
  const hash = createHash('sha256');
  for (const part of [record.key, record.value, record.headers]) {
    hash.update(part === null ? 'null' : `${part.length}:`).update(part ?? '');
  }
  return hash.update(String(record.timestampMs)).digest('base64').slice(0, 16);
}

export function openRot(folder: string): Promise<Store> {
  return openStore({
    folder,
    clock: systemClock,
    random: seededRandom(7),
    logger: silentLogger,
    segmentBytes: SEGMENT_BYTES,
  });
}

/**
 * A data folder with a dozen segments, in tables and in write-ahead files, opened and closed several
 * times. `clean`: the last process closed it; else it is as a kill left it.
 */
export async function buildFolder(folder: string, seed: number, clean: boolean): Promise<Model> {
  const random = seededRandom(seed);
  const streams: Record<string, Known[]> = {};
  const positions: Record<string, number[]> = {};
  const losses: string[] = [];
  const live = clean ? folder : `${folder}.live`;
  let noted: Record<string, number> = {};
  let incarnation = '';
  for (let round = 0; round < ROUNDS; round++) {
    const store = await openRot(live);
    incarnation = store.identity.incarnation;
    await writeRound(store, random, streams);
    await readSomething(store);
    await advance(store, random, streams, positions);
    if (round === 2) {
      await store.ledger.record([lossOf('telemetry', 0, 1, 3), lossOf('events', 0, 0, 2)]);
      losses.push('telemetry/0 1-3', 'events/0 0-2');
    }
    noted = Object.fromEntries(Object.entries(streams).map(([name, { length }]) => [name, length]));
    // Half of those that are killed have last commits that only their write-ahead file tells of.
    const isMore = random.next() < 0.5;
    if (round === ROUNDS - 1 && !clean && isMore) await writeRound(store, random, streams);
    if (round === ROUNDS - 1 && !clean) await cp(live, folder, { recursive: true });
    await store.close();
  }
  const segments = await placeRecords(folder, streams);
  const model = { seed, incarnation, clean, streams, noted, positions, segments, losses };
  await writeFile(`${folder}.model`, JSON.stringify(model));
  return model;
}

const lossOf = (topic: string, partition: number, fromOffset: number, toOffset: number) =>
  ({
    topic,
    partition,
    fromOffset,
    toOffset,
    records: toOffset - fromOffset,
    bytes: undefined,
    reason: 'skipped',
    detail: 'a person did',
    mirror: READER,
  }) as const;

async function writeRound(
  store: Store,
  random: Random,
  streams: Record<string, Known[]>,
): Promise<void> {
  const all = Object.entries(TOPICS).flatMap(([name, partitions]) =>
    store.writer
      .defineTopic(name, {
        partitions,
        durability: 'fsync',
        retentionMs: undefined,
        retentionBytes: undefined,
      })
      .streams.map((stream, partition) => ({ stream, name: `${name}/${partition}` })),
  );
  for (let commit = 0; commit < COMMITS_A_ROUND; commit++) {
    const writes: Promise<void>[] = [];
    const count = 1 + Math.floor(random.next() * 20);
    for (let index = 0; index < count; index++) {
      const target = all[Math.floor(random.next() * random.next() * all.length)];
      if (target !== undefined) writes.push(appendKnown(store, random, target, streams));
    }
    await Promise.all(writes);
  }
}

function appendKnown(
  store: Store,
  random: Random,
  { stream, name }: { readonly stream: StreamId; readonly name: string },
  streams: Record<string, Known[]>,
): Promise<void> {
  const key = random.next() < 0.2 ? null : Buffer.from(random.hex(6));
  const value = Buffer.from(random.hex(20 + Math.floor(random.next() * 300)), 'hex');
  const headers = encodeHeaders([{ key: 'n', value: Buffer.from(random.hex(4)) }]);
  const timestampMs = 1_700_000_000_000 + Math.floor(random.next() * 1e6);
  const known = (streams[name] ??= []);
  const digest = digestOf({ key, value, headers, timestampMs });
  const bytes = (key?.length ?? 0) + value.length + headers.length;
  return new Promise((resolve, reject) => {
    store.writer.append(stream, timestampMs, key, value, headers, 'fsync', (error, offset) => {
      known[offset] = { digest, bytes, commit: 0, segment: 0 };
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/** So that older segments are opened, and their write-ahead files become tables. */
async function readSomething(store: Store): Promise<void> {
  const streams = store.reader.topics().flatMap((topic) => topic.streams);
  const cursor = store.reader.cursor(new Map(streams.map((stream) => [stream, 0])));
  for (let batch = 0; batch < 6; batch++) await cursor.next({ maxRecords: 100, maxBytes: 50_000 });
  await cursor.close();
}

async function advance(
  store: Store,
  random: Random,
  streams: Record<string, Known[]>,
  positions: Record<string, number[]>,
): Promise<void> {
  const reader = await store.positions(READER, { pins: true });
  for (const topic of store.reader.topics()) {
    for (const [partition, stream] of topic.streams.entries()) {
      const name = `${topic.name}/${partition}`;
      const end = streams[name]?.length ?? 0;
      const before = reader.get(stream) ?? 0;
      const next = before + Math.floor(random.next() * (end - before));
      await reader.advance(new Map([[stream, next]]));
      (positions[name] ??= []).push(next);
    }
  }
}

/** Notes where each record lies, by looking into a copy: looking changes files. */
async function placeRecords(folder: string, streams: Record<string, Known[]>): Promise<number[]> {
  const copy = `${folder}.look`;
  await cp(folder, copy, { recursive: true });
  const store = await openRot(copy);
  const names = new Map<number, string>();
  for (const topic of store.reader.topics()) {
    for (const [partition, stream] of topic.streams.entries()) {
      names.set(stream, `${topic.name}/${partition}`);
    }
  }
  await store.close();
  const engine = levelEngine(copy, false);
  const segments = await engine.segments();
  for (const segment of segments) {
    const database = await engine.openSegment(segment, 'existing');
    const entries = database.entries({ gte: entryKey(0, 'commit') });
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) break;
      for (const [key, value] of batch) place(key, value, segment, names, streams);
    }
    await entries.close();
    await database.close();
  }
  return segments;
}

function place(
  key: Uint8Array,
  value: Uint8Array,
  segment: number,
  names: ReadonlyMap<number, string>,
  streams: Record<string, Known[]>,
): void {
  const parsed = parseKey(key);
  const frame = readFrame(key, value);
  const head = frame === undefined ? undefined : readHead(frame.head);
  if (parsed?.kind !== 'commit' || head === undefined) return;
  for (const { stream, baseOffset, count } of head.runs) {
    const known = streams[names.get(stream) ?? ''] ?? [];
    for (let offset = baseOffset; offset < baseOffset + count; offset++) {
      const record = known[offset];
      if (record !== undefined) Object.assign(record, { commit: parsed.commit, segment });
    }
  }
}

/** Every file below the folder that may be damaged, relative to it, sorted. */
export async function filesOf(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.push(join(entry.parentPath, entry.name).slice(folder.length + 1));
  }
  return files.filter((name) => !/\/LOG(?:\.old)?$/u.test(name)).toSorted();
}
