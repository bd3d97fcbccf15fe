import { describe, expect, test } from 'vitest';
import {
  formatDiskSize,
  formatDuration,
  formatRate,
  formatSize,
  parseDuration,
  parseRate,
  parseSize,
} from '../../src/units.ts';

describe('sizes', () => {
  test.each([
    ['64MiB', 67_108_864],
    ['1.5 GiB', 1_610_612_736],
    ['10MB', 10_000_000],
    ['512', 512],
    ['7B', 7],
    ['0', 0],
  ])('%s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(['', '64 megs', '-1MiB', 'MiB', '1e3', '64mib', '1MiBps'])('%j is none', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  test('are shown in the largest unit that fits', () => {
    expect(formatSize(512)).toBe('512 B');
    expect(formatSize(67_108_864)).toBe('64.0 MiB');
  });
});

test.each([
  [999, '999 B'],
  [999_960, '1.0 MB'],
  [5_340_000_000, '5.3 GB'],
  [1e14, '100.0 TB'],
  [2e18, '2000.0 PB'],
])('disk size %d', (bytes, text) => {
  expect(formatDiskSize(bytes)).toBe(text);
});

describe('durations', () => {
  test.each([
    ['7d', 604_800_000],
    ['250ms', 250],
    ['1.5h', 5_400_000],
    ['5min', 300_000],
    ['5m', 300_000],
    ['2w', 1_209_600_000],
  ])('%s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '7', 'd', '-1s', '7 days', '1y', 'PT1S'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  test('are shown by their two largest units', () => {
    expect(formatDuration(850)).toBe('850ms');
    expect(formatDuration(65_000)).toBe('1m 5s');
    expect(formatDuration(3_600_000)).toBe('1h');
    expect(formatDuration(90_061_000)).toBe('1d 1h');
  });
});

describe('rates', () => {
  test.each([
    ['64kbit/s', 64_000],
    ['1.5 Mbit/s', 1_500_000],
    ['2Gbit/s', 2e9],
    ['9600bit/s', 9600],
  ])('%s', (text, bitsPerSecond) => {
    expect(parseRate(text)).toBe(bitsPerSecond);
  });

  test.each(['', '64', '64k', '64kB/s', '64kbps', '-1kbit/s'])('%j is none', (text) => {
    expect(parseRate(text)).toBeUndefined();
  });

  test('are shown as they are written', () => {
    expect(formatRate(64_000)).toBe('64 kbit/s');
    expect(formatRate(1_540_000)).toBe('1.5 Mbit/s');
    expect(formatRate(7)).toBe('7 bit/s');
  });
});
