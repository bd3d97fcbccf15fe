import { Reader, readRecordsBatch } from '@platformatic/kafka';
import { describe, expect, test } from 'vitest';
import { encodeHeaders } from '../../../src/headers.ts';
import { RecordBatchEncoder } from '../../../src/mirror/kafka/record-batch.ts';
import type { ProduceAnswer } from '../../../src/mirror/kafka/produce.ts';
import {
  limitsOf,
  readRange,
  TimeBounds,
  type TimeRange,
} from '../../../src/mirror/kafka/time-bounds.ts';
import type { LogRecord } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { SimClock } from '../../support/sim-clock.ts';

const MAY = Date.UTC(2026, 4, 1);
const HOUR = 3_600_000;
const FOREVER = String(2n ** 63n - 1n);

const answer = (range: string, code = 32): ProduceAnswer => ({
  topic: 't',
  partition: 0,
  code,
  baseOffset: -1n,
  recordErrors: [
    {
      index: 3,
      reason: `Timestamp 1 of message with offset 3 is out of range. The timestamp should be within ${range}`,
    },
  ],
  message: 'One or more records have been rejected due to invalid timestamp',
});

describe('what a topic takes', () => {
  test('by its configuration, newer and older', () => {
    const limits = (configs: Record<string, string>) => limitsOf(new Map(Object.entries(configs)));
    const before = 'message.timestamp.before.max.ms';
    const after = 'message.timestamp.after.max.ms';
    const difference = 'message.timestamp.difference.max.ms';
    expect(limits({ [before]: '60000', [after]: '1000', [difference]: FOREVER })).toEqual({
      beforeMs: 60_000,
      afterMs: 1000,
    });
    expect(limits({ [before]: FOREVER, [after]: '3600000' })).toEqual({
      beforeMs: Infinity,
      afterMs: HOUR,
    });
    expect(limits({ [difference]: '5000' })).toEqual({ beforeMs: 5000, afterMs: 5000 });
    expect(limits({ [before]: FOREVER, [after]: '70', [difference]: '5000' })).toEqual({
      beforeMs: 5000,
      afterMs: 70,
    });
    expect(limits({ [before]: FOREVER, [after]: FOREVER })).toBeUndefined();
    expect(limits({ 'message.timestamp.type': 'LogAppendTime', [before]: '1' })).toBeUndefined();
    expect(limits({})).toBeUndefined();
  });

  test('by a refusal, also where Kafka’s sum ran over', () => {
    expect(readRange('… within [1000, 2000]')).toEqual({ minMs: 1000, maxMs: 2000 });
    expect(readRange(`within [-9223370359254775807, ${MAY}]`)?.maxMs).toBe(MAY);
    expect(readRange(`within [${MAY}, -9223370300000000000]`)?.maxMs).toBe(Infinity);
    expect(readRange('no range')).toBeUndefined();
    expect(readRange(null)).toBeUndefined();
  });
});

describe('bounds', () => {
  test('the configured ones keep a distance that leaves room for the time now', () => {
    const clock = new SimClock(MAY);
    let isSound = true;
    const bounds = new TimeBounds(clock, silentLogger, () => isSound);
    bounds.begin(
      new Map([
        ['wide', { beforeMs: 7 * 24 * HOUR, afterMs: HOUR }],
        ['narrow', { beforeMs: 60_000, afterMs: 1000 }],
        ['open', { beforeMs: Infinity, afterMs: HOUR }],
      ]),
    );
    expect(bounds.of('wide')).toEqual({
      minMs: MAY - 7 * 24 * HOUR + 300_000,
      maxMs: MAY + HOUR - 300_000,
    });
    expect(bounds.of('narrow')).toEqual({ minMs: MAY - 45_000, maxMs: MAY + 750 });
    expect(bounds.of('open')?.minMs).toBe(-Infinity);
    expect(bounds.of('other')).toBeUndefined();
    isSound = false; // By a clock that is wrong every record would be moved.
    expect(bounds.of('wide')).toBeUndefined();
    bounds.begin(new Map());
    isSound = true;
    expect(bounds.of('wide')).toBeUndefined();
  });

  test('learned ones go on with time, count where our clock is wrong, and are learned once', async () => {
    const clock = new SimClock(20_000);
    const bounds = new TimeBounds(clock, silentLogger, () => false);
    const told = answer(`[${MAY - HOUR}, ${MAY + HOUR}]`);
    expect(bounds.learn({ ...told, code: 10 })).toBe(false);
    expect(bounds.learn({ ...told, recordErrors: [], message: null })).toBe(false);
    expect(bounds.learn(told)).toBe(true);
    expect(bounds.learn(told)).toBe(false); // It did not help: no loop.
    const first = bounds.of('t') as TimeRange;
    expect(first.minMs).toBeGreaterThan(MAY - HOUR);
    expect(first.maxMs).toBeLessThan(MAY + HOUR);
    await clock.advance(HOUR);
    expect(bounds.of('t')?.maxMs).toBe(first.maxMs + HOUR);
    // Another broker, whose clock is a minute behind: what both take.
    expect(bounds.learn(answer(`[${MAY - 60_000}, ${MAY + 2 * HOUR - 60_000}]`))).toBe(true);
    expect(bounds.of('t')?.minMs).toBeGreaterThan(MAY);
    expect(bounds.of('t')?.maxMs).toBeLessThan(MAY + 2 * HOUR - 60_000);
    // Ranges apart: the newest.
    expect(bounds.learn(answer(`[${MAY + 9 * HOUR}, ${MAY + 10 * HOUR}]`))).toBe(true);
    expect(bounds.of('t')?.minMs).toBeGreaterThan(MAY + 9 * HOUR);
    bounds.begin(new Map());
    expect(bounds.of('t')).toBeUndefined();
  });
});

describe('records on the way', () => {
  const RANGE = { minMs: MAY, maxMs: MAY + HOUR };
  const identity = Buffer.from('gw/00ff/t/0/');
  const own = encodeHeaders([{ key: 'mqtt.topic', value: Buffer.from('a') }]);
  const record = (
    offset: number,
    timestampMs: number,
    rest: Partial<LogRecord> = {},
  ): LogRecord => ({
    offset,
    timestampMs,
    key: null,
    value: Buffer.from('v'),
    headers: own,
    ...rest,
  });
  const encoded = (records: readonly LogRecord[], range?: TimeRange) => {
    const encoder = new RecordBatchEncoder(1000);
    for (const one of records) encoder.add(one, identity, undefined, range);
    const batch = readRecordsBatch(Reader.from(encoder.finish(undefined, 0).bytes));
    expect(Number(batch.maxTimestamp)).toBe(
      Math.max(...batch.records.map((one) => Number(batch.firstTimestamp + one.timestampDelta))),
    );
    return batch.records.map(({ timestampDelta, headers }) => [
      Number(batch.firstTimestamp + timestampDelta),
      Object.fromEntries(headers.map(([key, value]) => [String(key), String(value)])),
    ]);
  };

  test('inside the range nothing changes; outside the nearest goes, the original beside it', () => {
    const records = [
      record(0, MAY - 1),
      record(1, MAY),
      record(2, MAY + HOUR),
      record(3, MAY + 10 * HOUR),
    ];
    const plain = (offset: number) => ({
      'mqtt.topic': 'a',
      'gatelog.id': `gw/00ff/t/0/${offset}`,
    });
    expect(encoded(records, RANGE)).toEqual([
      [MAY, { ...plain(0), 'gatelog.time.original': String(MAY - 1) }],
      [MAY, plain(1)],
      [MAY + HOUR, plain(2)],
      [MAY + HOUR, { ...plain(3), 'gatelog.time.original': String(MAY + 10 * HOUR) }],
    ]);
    expect(encoded(records).map(([time]) => time)).toEqual([
      MAY - 1,
      MAY,
      MAY + HOUR,
      MAY + 10 * HOUR,
    ]);
  });

  test('what is to be said of a time goes along; encoded again, the first original stays', () => {
    const note = { trust: 'estimated', clockMs: 20_000 } as const;
    const late = record(7, MAY - HOUR, { time: note, headers: new Uint8Array(0) });
    const words = { 'gatelog.time': 'estimated', 'gatelog.time.clock': '20000' };
    const id = { 'gatelog.id': 'gw/00ff/t/0/7' };
    expect(encoded([late])).toEqual([[MAY - HOUR, { ...words, ...id }]]);
    const original = { 'gatelog.time.original': String(MAY - HOUR) };
    expect(encoded([late], RANGE)).toEqual([[MAY, { ...words, ...original, ...id }]]);
    const once = record(7, MAY, {
      headers: encodeHeaders([
        { key: 'gatelog.time.original', value: Buffer.from(String(MAY - HOUR)) },
      ]),
    });
    const later = { minMs: MAY + 5, maxMs: MAY + HOUR };
    expect(encoded([once], later)).toEqual([[MAY + 5, { ...original, ...id }]]);
  });
});
