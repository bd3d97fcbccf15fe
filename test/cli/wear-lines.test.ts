import { expect, test } from 'vitest';
import type { WearStatus } from '../../src/admin/wear-status.ts';
import { wearLines } from '../../src/cli/wear-lines.ts';

const WEAR: WearStatus = {
  windowMs: 11_400_000,
  device: { volume: 'mmcblk0p2', disk: 'mmcblk0' },
  deviceUnknown: null,
  processBytesPerDay: 8_100_000_000,
  volumeBytesPerDay: 31_000_000_000,
  diskBytesPerDay: 31_200_000_000,
  payloadBytesPerDay: 1_060_000_000,
  processAmplification: 7.64,
  diskAmplification: 29.43,
  commitsPerSecond: 20.02,
  syncsPerSecond: 20.4,
  lingerMs: 0,
  budgetBytes: null,
  budgetLevel: null,
  ratingBytes: null,
  ratingYears: null,
};

test('without a rating: bytes a day, and what they are made of', () => {
  expect(wearLines(WEAR)).toEqual([
    '31.2 GB a day to mmcblk0 (29.4 × the payload), 8.1 GB by this process; measured over 3h 10m',
    '20.0 commits a second, 20.4 syncs, without waiting for company',
  ]);
});

test('with a rating: the years it lasts', () => {
  const line = (more: Partial<WearStatus>): string | undefined =>
    wearLines({ ...WEAR, ratingBytes: 100e12, ratingYears: 8.78, ...more })[1];
  expect(line({})).toBe('at this rate the card’s rated 100.0 TB lasts 8.8 years');
  expect(line({ ratingYears: 512 })).toContain('lasts more than 100 years');
  expect(line({ ratingYears: null })).toBe(
    'nothing is written, so the rated 100.0 TB last for ever',
  );
  expect(line({ device: null })).toMatch(/^counting this process only, at this rate/u);
});

test('with a budget: whether it is kept', () => {
  const lines = (budgetLevel: number): string[] =>
    wearLines({ ...WEAR, budgetBytes: 5e9, budgetLevel, lingerMs: 250 }).slice(1);
  expect(lines(0.9)).toEqual([
    '20.0 commits a second, 20.4 syncs, each waiting up to 250ms',
    'budget of 5.0 GB a day: kept',
  ]);
  expect(lines(0.2)[1]).toBe('budget of 5.0 GB a day: running hot, so commits wait longer');
  expect(lines(0)[1]).toBe(
    'budget of 5.0 GB a day: exceeded, though commits wait as long as they may',
  );
});

test('what is not known is said', () => {
  const unknown = {
    ...WEAR,
    device: null,
    deviceUnknown: 'the data folder is on overlay, which is no block device of its own',
    diskBytesPerDay: null,
    diskAmplification: null,
  };
  expect(wearLines(unknown)[0]).toBe(
    '8.1 GB by this process a day (7.6 × the payload), measured over 3h 10m; what reaches the ' +
      'disk is not known: the data folder is on overlay, which is no block device of its own',
  );
  expect(wearLines({ ...unknown, processBytesPerDay: null })).toEqual([
    'this system does not tell how much is written',
  ]);
  expect(wearLines({ ...WEAR, windowMs: 3 })).toEqual(['measured from now on']);
});

test('before there is enough to tell: no rate and no years, however they look', () => {
  const early = { ...WEAR, ratingBytes: 100e12, ratingYears: 0.1, windowMs: 180_000 };
  expect(wearLines(early)).toEqual([
    'measured for 3m: too early to tell what a day comes to (from 10m on)',
    '20.0 commits a second, 20.4 syncs, without waiting for company',
  ]);
});

test('in memory nothing is worn', () => {
  const memory = {
    ...WEAR,
    device: null,
    deviceUnknown: 'the data folder is on tmpfs, which is no block device of its own',
    diskBytesPerDay: null,
    diskAmplification: null,
    processBytesPerDay: 0,
    processAmplification: 0,
    ratingBytes: 1e12,
  };
  expect(wearLines(memory)).toEqual([
    'the data folder is on tmpfs, which is no block device of its own: nothing is worn, as far ' +
      'as the kernel tells; measured over 3h 10m',
    '20.0 commits a second, 20.4 syncs, without waiting for company',
  ]);
});
