import { expect, test } from 'vitest';
import {
  clip,
  clockTime,
  count,
  fit,
  oneLine,
  plural,
  shortSeconds,
  sparkline,
} from '../../../src/cli/demo/text.ts';

test('clip and fit count characters, not bytes', () => {
  expect(clip('21.4 °C', 7)).toBe('21.4 °C');
  expect(clip('21.4 °C', 5)).toBe('21.4…');
  expect(clip('anything', 0)).toBe('');
  expect(fit('°', 3)).toBe('°  ');
  expect(fit('abcdef', 3)).toBe('ab…');
});

test('times and counts as people read them', () => {
  expect(clockTime(83_000)).toBe('1:23');
  expect(clockTime(3_723_000)).toBe('1:02:03');
  expect(shortSeconds(420)).toBe('0.4 s');
  expect(shortSeconds(9970)).toBe('10 s');
  expect(shortSeconds(185_000)).toBe('3m 5s');
  expect(count(1_234_567)).toBe('1,234,567');
  expect(count(undefined)).toBe('–');
  expect(plural(1, 'record')).toBe('1 record');
  expect(plural(2000, 'record')).toBe('2,000 records');
});

test('a sparkline shows the newest values, scaled to the largest', () => {
  expect(sparkline([0, 7, 0, 1, 7], 3)).toBe('▁▂█');
  expect(sparkline([0, 0], 5)).toBe('▁▁');
  expect(sparkline([], 5)).toBe('');
  expect(sparkline([1, 2], 0)).toBe('');
});

test('foreign text cannot steer the terminal', () => {
  expect(oneLine('a\u001b[31mred\u001b[0m\nb\r\u0007c')).toBe('ared b c');
});
