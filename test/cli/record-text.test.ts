import { expect, test } from 'vitest';
import { recordText } from '../../src/cli/record-text.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

const RECORD = {
  topic: 'telemetry',
  partition: 2,
  offset: 17,
  timestamp: Date.UTC(2026, 10, 22, 8),
  key: 'a/b',
  value: 'x',
  headers: [],
};

test('an estimated time is marked, and only that one', () => {
  const line = '2026-11-22T08:00:00.000Z telemetry/2@17 a/b x';
  expect(recordText(PLAIN_CONTEXT, RECORD)).toBe(line);
  expect(recordText(PLAIN_CONTEXT, { ...RECORD, time: 'corrected', timeClock: 5 })).toBe(line);
  expect(recordText(PLAIN_CONTEXT, { ...RECORD, time: 'estimated', timeClock: 5 })).toBe(
    `~${line}`,
  );
});

test('so is one that another gateway estimated', () => {
  const marked = (value: string, time?: 'corrected'): string => {
    const headers = [{ key: 'gatelog.time', value }];
    const own = time === undefined ? {} : { time, timeClock: 5 };
    return recordText(PLAIN_CONTEXT, { ...RECORD, headers, ...own }).slice(0, 1);
  };
  expect(marked('estimated')).toBe('~');
  expect(marked('corrected')).toBe('2');
  expect(marked('estimated', 'corrected')).toBe('2');
});

test('what could play tricks on a terminal is escaped, what is no text is base64, null is said', () => {
  const shown = (fields: object): string =>
    recordText(PLAIN_CONTEXT, { ...RECORD, ...fields }).slice(42);
  expect(shown({ value: 'a\u001B[2J\nb' })).toBe('b a\\u001b[2J\\nb');
  expect(shown({ value: 'a\u009B2J\u007F' })).toBe('b a\\u009b2J\\u007f');
  expect(shown({ value: undefined, valueBase64: '/w==' })).toBe('b (base64) /w==');
  expect(shown({ value: null })).toBe('b null');
});
