import { describe, expect, test } from 'vitest';
import { encodeHeaders, type Header } from '../../src/headers.ts';
import { expiresAtMs } from '../../src/message-expiry.ts';
import { ExpiringCursor } from '../../src/mirror/expiring-cursor.ts';
import { NOTHING } from '../../src/mirror/mirror-cursor.ts';
import { type LogRecord, streamId, type StreamId } from '../../src/record.ts';
import type { CursorBatch } from '../../src/store/log.ts';
import type { MemoryLog } from '../support/memory-log.ts';
import { LONG_MS, rig } from './mirror-rig.ts';

const BASE = ['mqtt.topic', 'mqtt.qos', 'mqtt.retain'].map((key) => ({
  key,
  value: Buffer.from('1'),
}));
const HEADERS = encodeHeaders([...BASE, expiry('60')]);

function expiry(seconds: string): Header {
  return { key: 'mqtt.message-expiry', value: Buffer.from(seconds) };
}

function record(offset: number, headers: Uint8Array, more: Partial<LogRecord> = {}): LogRecord {
  return { offset, timestampMs: 1000, key: null, value: Buffer.from('x'), headers, ...more };
}

function append(log: MemoryLog, stream: StreamId, nowMs: number, value: string): void {
  const done = (): void => {};
  log.writer.append(stream, nowMs, null, Buffer.from(value), HEADERS, 'fsync', done);
}

describe('when a record expires', () => {
  test('as many seconds after its own time as its device said', () => {
    expect(expiresAtMs(record(0, HEADERS))).toBe(61_000);
    const corrected = { trust: 'corrected', clockMs: 5 } as const;
    expect(expiresAtMs(record(0, HEADERS, { time: corrected }))).toBe(61_000);
  });

  test.each([
    ['without any header', encodeHeaders([]), {}],
    ['without the header', encodeHeaders(BASE), {}],
    ['with another one that only holds its name', named('x-mqtt.message-expiry'), {}],
    ['with one that is no count', encodeHeaders([...BASE, expiry('soon')]), {}],
    ['at an estimated time', HEADERS, { time: { trust: 'estimated', clockMs: 5 } as const }],
  ])('never %s', (_what, headers, more) => {
    expect(expiresAtMs(record(0, headers, more))).toBeUndefined();
  });
});

function named(key: string): Uint8Array {
  return encodeHeaders([...BASE, { key, value: Buffer.from('1') }]);
}

test('what has expired is left out of a batch; slices stay dense', async () => {
  const stream = streamId(3);
  const plain = encodeHeaders([]);
  const records = [HEADERS, plain, plain, HEADERS, HEADERS, plain].map((headers, at) =>
    record(at + 5, headers),
  );
  const bytes = records.reduce((sum, { headers }) => sum + 1 + headers.length, 0);
  const batch: CursorBatch = { slices: [{ stream, records }], gaps: [], records: 6, bytes };
  const inner = {
    next: () => Promise.resolve(batch),
    wait: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const limits = { maxRecords: 10, maxBytes: 1000 };
  let nowMs: number | undefined = 60_999;
  const cursor = new ExpiringCursor(inner, () => nowMs);
  expect(await cursor.next(limits)).toBe(batch);
  nowMs = undefined;
  expect(await cursor.next(limits)).toBe(batch);
  nowMs = 61_000;
  const { slices, expired, ...rest } = await cursor.next(limits);
  expect(slices.map((slice) => slice.records.map(({ offset }) => offset))).toEqual([[6, 7], [10]]);
  const gone = 3 * (1 + HEADERS.length);
  expect(expired).toEqual([{ stream, offsets: [5, 8, 9], bytes: gone }]);
  expect(rest).toEqual({ gaps: [], records: 3, bytes: bytes - gone });
});

test('a backlog of which all has expired is told in a few steps, not one for each batch', async () => {
  const { clock, log, mirror, texts, upstream } = rig(
    {},
    { expiryNowMs: () => clock.nowMs(), batching: { maxRecords: 10, maxBytes: 1000 } },
  );
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (let index = 0; index < 500; index++)
    append(log, stream, clock.nowMs() - 100_000, `gone ${index}`);
  log.add(stream, 'for ever');
  log.add(stream, 'and this');
  await mirror.start();
  await clock.until(() => mirror.status().lagRecords === 0);
  expect(texts()).toEqual(['for ever', 'and this']);
  expect(upstream.sends).toBeLessThanOrEqual(2);
  expect(mirror.status()).toMatchObject({ recordsExpired: 500, recordsSent: 2 });
  expect(log.told).toMatchObject([{ reason: 'expired', fromOffset: 0, toOffset: 500 }]);
  await clock.settled(mirror.stop());
});

test('what was read behind it stays in its turn, and goes though nothing more comes', async () => {
  const stream = streamId(3);
  const plain = encodeHeaders([]);
  const one = (
    offset: number,
    headers: Uint8Array,
    more: Partial<CursorBatch> = {},
  ): CursorBatch => {
    const records = [record(offset, headers)];
    return {
      slices: [{ stream, records }],
      gaps: [],
      records: 1,
      bytes: 1 + headers.length,
      ...more,
    };
  };
  const released: number[] = [];
  const release = (): void => void released.push(released.length);
  const gap = { stream, fromOffset: 4, toOffset: 6, reason: 'retention' as const };
  const batches = [
    one(1, HEADERS, { release }),
    one(2, HEADERS, { release }),
    one(6, HEADERS, { gaps: [gap] }),
    one(7, plain, { release }),
  ];
  const inner = {
    next: () => Promise.resolve(batches.shift() ?? NOTHING),
    wait: () => new Promise<void>(() => {}),
    close: () => Promise.resolve(),
  };
  const cursor = new ExpiringCursor(inner, () => 61_000);
  const limits = { maxRecords: 10, maxBytes: 1000 };
  const bytes = 1 + HEADERS.length;
  expect(await cursor.next(limits)).toMatchObject({
    slices: [],
    gaps: [gap],
    expired: [
      { stream, offsets: [1, 2], bytes: 2 * bytes },
      { stream, offsets: [6], bytes },
    ],
  });
  expect(released).toHaveLength(2);
  await cursor.wait(new AbortController().signal);
  expect(await cursor.next(limits)).toMatchObject({
    records: 1,
    slices: [{ records: [{ offset: 7 }] }],
  });
  expect(await cursor.next(limits)).toBe(NOTHING);
  expect(released).toHaveLength(2);
});

test('a mirror skips what has expired meanwhile, ledgers it, and moves on; only by a clock it believes', async () => {
  let believed = false;
  const { clock, log, mirror, texts, upstream, again, positions } = rig(
    {},
    { expiryNowMs: () => (believed ? clock.nowMs() : undefined) },
  );
  const [stream = streamId(-1)] = log.topic('t').streams;
  append(log, stream, clock.nowMs() - 100_000, 'old');
  await mirror.start();
  await clock.until(() => mirror.status().lagRecords === 0);
  expect(texts()).toEqual(['old']);
  await clock.settled(mirror.stop());
  believed = true;
  append(log, stream, clock.nowMs() - 100_000, 'gone');
  append(log, stream, clock.nowMs() - 100_000, 'gone too');
  append(log, stream, clock.nowMs(), 'fresh');
  log.add(stream, 'for ever');
  append(log, stream, clock.nowMs() - 100_000, 'the last');
  const next = again();
  await next.start();
  await clock.until(() => next.status().lagRecords === 0);
  await clock.advance(LONG_MS);
  expect(texts()).toEqual(['old', 'fresh', 'for ever']);
  const loss = { topic: 't', partition: 0, reason: 'expired', mirror: 'central' };
  expect(log.told).toMatchObject([
    { ...loss, fromOffset: 1, toOffset: 3, records: 2 },
    { ...loss, fromOffset: 5, toOffset: 6, records: 1 },
  ]);
  expect(next.status()).toMatchObject({ recordsExpired: 3, recordsMissing: 0, recordsSent: 2 });
  expect(upstream.positions.get(stream)).toEqual({ next: 6, ahead: [] });
  await clock.settled(next.stop());
  expect(positions.get(stream)).toBe(6);
});
