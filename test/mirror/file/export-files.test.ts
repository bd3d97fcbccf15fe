import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Coverages, fromFlat, upTo } from '../../../src/coverage.ts';
import { ExportContent } from '../../../src/mirror/file/export-content.ts';
import { ExportFiles, listExports } from '../../../src/mirror/file/export-files.ts';
import { heldExports } from '../../../src/mirror/file/export-had.ts';
import { type ExportOrigin, rangeFrame } from '../../../src/mirror/file/export-header.ts';
import { exportFrames } from '../../../src/mirror/file/export-source.ts';
import { FrameParser } from '../../../src/mirror/file/frames.ts';
import { planImport } from '../../../src/mirror/file/import-plan.ts';
import type { ImportResult } from '../../../src/mirror/file/import.ts';
import { decodeRecords, encodeRecords } from '../../../src/mirror/file/records-body.ts';
import { streamsOf } from '../../../src/mirror/selection.ts';
import { type LogRecord, streamId } from '../../../src/record.ts';
import type { TopicInfo } from '../../../src/store/log.ts';
import { systemClock } from '../../../src/time.ts';
import { exportTo, importFrom } from '../../support/carried.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { SimulatedUpstream } from '../../support/simulated-upstream.ts';

const ORIGIN: ExportOrigin = {
  gateway: 'gw',
  incarnation: '0123456789abcdef',
  mirror: 'central',
  target: { topicTemplate: '{topic}', transactionalId: 't', group: 'g', positionsTopic: 'p' },
};
const NEVER = new AbortController().signal;

let folder: string;
let log: MemoryLog;
let topic: TopicInfo;
let exports: number;
let nowMs = 5;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-export-'));
  log = new MemoryLog();
  topic = log.topic('telemetry', 2);
  exports = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function add(count: number): void {
  for (let index = 0; index < count; index++) {
    log.add(
      topic.streams[index % 2] ?? streamId(-1),
      `value ${index}`,
      1000 + index,
      `key ${index}`,
    );
  }
}

function exportAll(sent: Coverages = new Map()): Promise<number> {
  return exportTo({ folder, log, topic, origin: ORIGIN, number: ++exports, madeMs: ++nowMs, sent });
}

function importAll(upstream: SimulatedUpstream): Promise<ImportResult> {
  return importFrom(folder, { upstream });
}

function centre(): SimulatedUpstream {
  return new SimulatedUpstream({ clock: systemClock, exactlyOnce: true });
}

test('records come back as they were', async () => {
  const bytes = fc.option(fc.uint8Array({ maxLength: 40 }), { nil: null });
  const time = fc.option(
    fc.record({
      trust: fc.constantFrom('corrected' as const, 'estimated' as const),
      clockMs: fc.nat(2 ** 42),
    }),
    { nil: undefined },
  );
  const part = fc.record({
    timestampMs: fc.integer({ min: -1000, max: 2 ** 42 }),
    time,
    key: bytes,
    value: bytes,
    headers: fc.uint8Array({ maxLength: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.nat(2 ** 40),
      fc.array(part, { minLength: 1, maxLength: 20 }),
      async (base, parts) => {
        const records = parts.map(({ time: note, ...rest }, index): LogRecord => ({
          ...rest,
          offset: base + index,
          ...(note === undefined ? {} : { time: note }),
        }));
        const stream = streamId(7);
        const decoded = await decodeRecords(await encodeRecords({ stream, records }));
        expect(decoded.stream).toBe(stream);
        expect(decoded.records.map(plain)).toEqual(records.map(plain));
      },
    ),
    { numRuns: 60 },
  );
});

function plain(record: LogRecord): unknown {
  const hex = (part: Uint8Array | null): string | null =>
    part === null ? null : Buffer.from(part).toString('hex');
  const { key, value, headers } = record;
  return { ...record, key: hex(key), value: hex(value), headers: hex(headers) };
}

describe('from the log to the centre', () => {
  test('everything once; again only what is new', async () => {
    add(100);
    expect(await exportAll()).toBe(100);
    const upstream = centre();
    expect(await importAll(upstream)).toEqual({ sent: 100, skipped: 0 });
    expect(
      upstream.delivered.map(({ at, record }) => `${at.partition}/${record.offset}`),
    ).toHaveLength(100);
    add(50);
    const [held] = await heldExports(folder);
    expect(held).toMatchObject({ gateway: 'gw', mirror: 'central' });
    expect(await exportAll()).toBe(50);
    expect(await exportAll()).toBe(0);
    expect(await importAll(upstream)).toEqual({ sent: 50, skipped: 100 });
    const seen = upstream.delivered.map(({ at, record }) => `${at.partition}/${record.offset}`);
    expect(new Set(seen).size).toBe(150);
  });

  test('what the far side had ahead is left out', async () => {
    add(40);
    const [stream = streamId(-1)] = topic.streams;
    expect(await exportAll(new Map([[stream, fromFlat(3, [5, 8])]]))).toBe(40 - 3 - 3);
    const upstream = centre();
    expect((await importAll(upstream)).sent).toBe(34);
  });

  test('files that begin behind what the centre has are refused', async () => {
    add(40);
    const [stream = streamId(-1)] = topic.streams;
    await exportAll(new Map([[stream, upTo(10)]]));
    const upstream = centre();
    upstream.positions.set(stream, upTo(4));
    await expect(importAll(upstream)).rejects.toThrow(
      "the centre has telemetry/0 of gateway 'gw' up to 4, and these files go on at 10",
    );
    expect(upstream.delivered.filter(({ at }) => at.partition === 0)).toEqual([]);
  });
});

describe('what other files hold is not had because a file passes over it', () => {
  const away = (): string => join(folder, 'away');
  const move = (number: number, from: string, to: string): void => {
    const files = readdirSync(from).filter((name) => name.startsWith(`gw.central.00000${number}-`));
    expect(files).toHaveLength(1);
    for (const name of files) renameSync(join(from, name), join(to, name));
  };
  const carryOff = (number: number): void => move(number, folder, away());
  const bringBack = (number: number): void => move(number, away(), folder);
  const offsets = ({ delivered }: SimulatedUpstream): number[] =>
    delivered.map(({ record }) => record.offset);
  const upToHere = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

  beforeEach(() => {
    log = new MemoryLog();
    topic = log.topic('telemetry');
    mkdirSync(away());
  });

  /** Files 1 to 3: offsets 0-9; 10-19; and, made while 1 was away, 0-9 and 20-29. */
  async function threeFiles(): Promise<void> {
    addToFirst(10);
    await exportAll();
    addToFirst(10);
    await exportAll();
    carryOff(1);
    addToFirst(10);
    expect(await exportAll()).toBe(20);
  }

  function addToFirst(count: number): void {
    const [stream = streamId(-1)] = topic.streams;
    for (let index = 0; index < count; index++) log.add(stream, `value ${index}`);
  }

  test('the centre has no hole where one of them was lost, and a file made again fills it', async () => {
    await threeFiles();
    carryOff(2);
    const upstream = centre();
    await expect(importAll(upstream)).rejects.toThrow(
      "the centre has telemetry/0 of gateway 'gw' up to 10, and these files go on at 20",
    );
    expect(offsets(upstream)).toEqual(upToHere(10));
    expect([...upstream.positions.values()]).toEqual([upTo(10)]);
    bringBack(1);
    expect(await exportAll()).toBe(10);
    // The later file has the earlier records.
    expect(await importAll(upstream)).toEqual({ sent: 20, skipped: 20 });
    expect(offsets(upstream)).toEqual(upToHere(30));
  });

  test('whichever comes first', async () => {
    await threeFiles();
    bringBack(1);
    const upstream = centre();
    expect(await importAll(upstream)).toEqual({ sent: 30, skipped: 10 });
    expect(offsets(upstream)).toEqual(upToHere(30));
  });

  test('a centre that knows nothing is not taken to have what an earlier file held', async () => {
    await threeFiles();
    carryOff(3);
    const upstream = centre();
    await expect(importAll(upstream)).rejects.toThrow('go on at 10');
    expect(offsets(upstream)).toEqual([]);
    bringBack(1);
    expect(await importAll(upstream)).toEqual({ sent: 20, skipped: 0 });
  });

  test('of what the log no longer holds, that which another file holds is no gap', async () => {
    addToFirst(10);
    await exportAll();
    addToFirst(10);
    await exportAll();
    carryOff(1);
    log.trim(topic.streams[0] ?? streamId(-1), 15);
    addToFirst(10);
    expect(await exportAll()).toBe(10);
    carryOff(2);
    const upstream = centre();
    await expect(importAll(upstream)).rejects.toThrow('up to 10, and these files go on at 20');
    bringBack(2);
    expect(await importAll(upstream)).toEqual({ sent: 20, skipped: 0 });
    expect([...upstream.positions.values()]).toEqual([upTo(30)]);
  });
});

describe('names', () => {
  /** The stick is emptied; what was on it, by name. */
  function emptied(): Map<string, Buffer> {
    const names = readdirSync(folder);
    const files = new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
    for (const name of names) rmSync(join(folder, name));
    return files;
  }

  /** Both sticks into one folder: everything of both is there, and comes once. */
  async function togetherIn(
    upstream: SimulatedUpstream,
    sticks: readonly Map<string, Buffer>[],
  ): Promise<void> {
    for (const stick of sticks)
      for (const [name, bytes] of stick) writeFileSync(join(folder, name), bytes);
    expect(readdirSync(folder)).toHaveLength(2);
    await importAll(upstream);
    const seen = upstream.delivered.map(({ at, record }) => `${at.partition}/${record.offset}`);
    expect(seen).toHaveLength(60);
    expect(new Set(seen).size).toBe(60);
  }

  test('go on by the gateway’s books when the stick was emptied', async () => {
    add(40);
    const [stream = streamId(-1), other = streamId(-1)] = topic.streams;
    await exportAll();
    const upstream = centre();
    expect(await importAll(upstream)).toMatchObject({ sent: 40 });
    const first = emptied();
    add(20);
    // The gateway has heard of it.
    await exportAll(
      new Map([
        [stream, upTo(20)],
        [other, upTo(20)],
      ]),
    );
    const second = emptied();
    expect([...first.keys(), ...second.keys()]).toEqual([
      expect.stringMatching(/^gw\.central\.000001-[\da-f]{8}\.gatelog$/u),
      expect.stringMatching(/^gw\.central\.000002-[\da-f]{8}\.gatelog$/u),
    ]);
    await togetherIn(upstream, [second, first]);
  });

  test('are not given twice when those books were lost', async () => {
    add(40);
    await exportAll();
    const first = emptied();
    exports = 0;
    add(20);
    // Nothing was imported yet.
    await exportAll();
    const second = emptied();
    expect([...second.keys()]).not.toEqual([...first.keys()]);
    await togetherIn(centre(), [second, first]);
  });

  test('as earlier programs gave them count too, and are read', async () => {
    add(40);
    await exportAll();
    const [[, bytes] = ['', Buffer.alloc(0)]] = emptied();
    writeFileSync(join(folder, 'gw.central.000007.gatelog'), bytes);
    add(20);
    expect(await exportAll()).toBe(20);
    expect(readdirSync(folder)).toEqual([
      expect.stringMatching(/^gw\.central\.000007\.gatelog$/u),
      expect.stringMatching(/^gw\.central\.000008-[\da-f]{8}\.gatelog$/u),
    ]);
    expect(await importAll(centre())).toEqual({ sent: 60, skipped: 0 });
  });
});

test('wherever a file is altered or cut, it is told, and nothing of it is taken', async () => {
  add(60);
  await exportAll();
  const [file = ''] = (await listExports(folder)).whole;
  const bytes = readFileSync(file);
  const spoil = [
    ...[0, 20, 200, bytes.length - 1].map((at) => {
      const altered = Buffer.from(bytes);
      altered[at] = (altered[at] ?? 0) ^ 0x20;
      return altered;
    }),
    ...[0, 10, 100, bytes.length - 1].map((length) => bytes.subarray(0, length)),
    Buffer.concat([bytes, Buffer.from('more')]),
    Buffer.concat([bytes, bytes]),
  ];
  for (const spoilt of spoil) {
    writeFileSync(file, spoilt);
    await expect(planImport(folder)).rejects.toMatchObject({
      code: 'EXPORT_DAMAGED',
      message: expect.stringContaining(file),
    });
  }
  writeFileSync(file, bytes);
  expect(await planImport(folder)).toMatchObject([{ records: 60 }]);
});

test('one that is not finished has another name, and is no export', async () => {
  add(10);
  const content = new ExportContent();
  const parser = new FrameParser();
  const streams = streamsOf(log.reader.topics());
  const ends = new Map(streams.map(({ stream }) => [stream, 5]));
  const asked = {
    reader: log.reader,
    origin: ORIGIN,
    number: 1,
    madeMs: 5,
    streams,
    sent: new Map(),
    had: new Map(),
    ends,
    signal: NEVER,
  };
  for await (const bytes of exportFrames(asked)) {
    for (const frame of parser.push(bytes)) {
      const piece = await content.take(frame);
      if (piece.kind !== 'header') continue;
      const files = new ExportFiles(folder, piece.header, 1);
      const range = { stream: streamId(0), from: 0, to: 1 };
      await files.write(rangeFrame('gap', range), { kind: 'gap', range });
      await files.abandon();
    }
  }
  expect(readdirSync(folder)).toEqual([
    expect.stringMatching(/^gw\.central\.000001-[\da-f]{8}\.gatelog\.part$/u),
  ]);
  expect(await planImport(folder)).toEqual([]);
});

test('only topics of which there are records are counted', async () => {
  add(10);
  log.topic('without');
  await exportAll();
  expect(await planImport(folder)).toMatchObject([{ records: 10, topics: 1 }]);
});

test('a folder that can not be read is said in words', async () => {
  const none = join(folder, 'none');
  await expect(planImport(none)).rejects.toThrow(
    `there is no folder ${none}: name the folder that gatelog export wrote to, or a copy of it`,
  );
  writeFileSync(none, '');
  await expect(planImport(none)).rejects.toThrow(`${none} is a file: name a folder`);
});
