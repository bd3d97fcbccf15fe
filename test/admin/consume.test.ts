import { describe, expect, test } from 'vitest';
import { consumeLines, parseStartPoint } from '../../src/admin/consume.ts';
import type { ConsumeRequest } from '../../src/admin/consume.ts';
import { must } from '../../src/assert.ts';
import { LIMITS } from '../../src/limits.ts';
import { MemoryLog } from '../support/memory-log.ts';

const WHOLE: ConsumeRequest = {
  topic: 'telemetry',
  partition: undefined,
  from: 'beginning',
  follow: false,
  limit: undefined,
};

function logOf(partitions: readonly (readonly string[])[]): MemoryLog {
  const log = new MemoryLog();
  const { streams } = log.topic('telemetry', partitions.length);
  for (const [partition, values] of partitions.entries()) {
    const stream = must(streams[partition], 'defined above');
    for (const [offset, value] of values.entries()) log.add(stream, value, offset * 1000, 'k');
  }
  return log;
}

async function read(log: MemoryLog, request: Partial<ConsumeRequest>): Promise<unknown[]> {
  const lines: unknown[] = [];
  const signal = new AbortController().signal;
  for await (const block of consumeLines(log.reader, { ...WHOLE, ...request }, signal)) {
    expect(block.endsWith('\n')).toBe(true);
    lines.push(
      ...block
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    );
  }
  return lines;
}

function places(lines: unknown[]): string[] {
  return (lines as { partition: number; offset: number }[]).map(
    ({ partition, offset }) => `${partition}@${offset}`,
  );
}

describe('consumeLines', () => {
  const log = logOf([
    ['a', 'b', 'c'],
    ['d', 'e'],
  ]);

  test('reads everything to the end', async () => {
    const lines = await read(log, {});
    expect(places(lines)).toEqual(['0@0', '0@1', '0@2', '1@0', '1@1']);
    expect(lines[1]).toEqual({
      topic: 'telemetry',
      partition: 0,
      offset: 1,
      timestamp: 1000,
      key: 'k',
      value: 'b',
      headers: [],
    });
  });

  test.each([
    ['one partition', { partition: 1 }, ['1@0', '1@1']],
    ['an offset', { from: 1 }, ['0@1', '0@2', '1@1']],
    ['an offset beyond one end', { from: 2 }, ['0@2']],
    ['a time', { from: { timestampMs: 1500 } }, ['0@2']],
    ['the end', { from: 'end' }, []],
    ['a limit', { limit: 2 }, ['0@0', '0@1']],
    ['a limit of none', { limit: 0 }, []],
  ] as const)('%s', async (_, request, expected) => {
    expect(places(await read(log, request))).toEqual(expected);
  });

  test('stops at the end that stood when reading began', async () => {
    const growing = logOf([['a', 'b']]);
    const stream = must(growing.reader.topic('telemetry')?.streams[0], 'defined above');
    const seen: string[] = [];
    const signal = new AbortController().signal;
    for await (const block of consumeLines(growing.reader, WHOLE, signal)) {
      seen.push(block);
      growing.add(stream, 'later');
    }
    expect(seen).toHaveLength(1);
  });

  test('reads bounded blocks', async () => {
    const many = logOf([Array.from({ length: LIMITS.consumeReadRecords + 1 }, () => 'x')]);
    const sizes: number[] = [];
    const signal = new AbortController().signal;
    for await (const block of consumeLines(many.reader, WHOLE, signal)) {
      sizes.push(block.trimEnd().split('\n').length);
    }
    expect(sizes).toEqual([LIMITS.consumeReadRecords, 1]);
  });

  test('follows until it is told to stop', async () => {
    const growing = logOf([['a']]);
    const stream = must(growing.reader.topic('telemetry')?.streams[0], 'defined above');
    const controller = new AbortController();
    const seen: unknown[] = [];
    const request = { ...WHOLE, follow: true };
    for await (const block of consumeLines(growing.reader, request, controller.signal)) {
      seen.push((JSON.parse(block) as { value: string }).value);
      if (seen.length === 1) queueMicrotask(() => growing.add(stream, 'b'));
      else controller.abort();
    }
    expect(seen).toEqual(['a', 'b']);
  });

  test('says what is gone', async () => {
    const trimmed = logOf([['a', 'b', 'c', 'd']]);
    const stream = must(trimmed.reader.topic('telemetry')?.streams[0], 'defined above');
    trimmed.trim(stream, 2);
    const [gap, ...rest] = await read(trimmed, { from: 1 });
    expect(gap).toEqual({
      gap: { topic: 'telemetry', partition: 0, fromOffset: 1, toOffset: 2, reason: 'retention' },
    });
    expect(places(rest)).toEqual(['0@2', '0@3']);
    expect(places(await read(trimmed, {}))).toEqual(['0@2', '0@3']);
  });

  test('ends behind a damaged tail', async () => {
    const damaged = logOf([['a', 'b', 'c']]);
    const stream = must(damaged.reader.topic('telemetry')?.streams[0], 'defined above');
    damaged.corrupt(stream, 1, 3);
    const lines = await read(damaged, {});
    expect(lines).toHaveLength(3);
    expect(JSON.stringify(lines)).toContain('"reason":"corruption"');
  });

  test.each([
    [{ topic: 'telemetri' }, 'there is no topic "telemetri" (did you mean "telemetry"?)'],
    [{ topic: 'zzz' }, 'there is no topic "zzz" (known here: telemetry)'],
    [{ partition: 2 }, 'topic telemetry has partitions 0 to 1, not 2'],
  ])('refuses %o', async (request, message) => {
    await expect(read(log, request)).rejects.toMatchObject({ code: 'NOT_FOUND', message });
  });
});

describe('parseStartPoint', () => {
  test.each([
    ['beginning', 'beginning'],
    ['end', 'end'],
    ['0', 0],
    ['2026', 2026],
    ['2026-11-22T08:00:00Z', { timestampMs: Date.UTC(2026, 10, 22, 8) }],
    ['2026-11-22', { timestampMs: Date.UTC(2026, 10, 22) }],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['yesterday', undefined],
    ['2026-13-45', undefined],
    ['99999999999999999999', undefined],
  ])('%s', (text, expected) => {
    expect(parseStartPoint(text)).toEqual(expected);
  });
});
