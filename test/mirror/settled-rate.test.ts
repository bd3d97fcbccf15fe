import { expect, test } from 'vitest';
import { SettledRate } from '../../src/mirror/settled-rate.ts';

test('records of the last minute, by what of it has passed', () => {
  const rate = new SettledRate(1_000_000);
  expect(rate.at(1_000_000)).toBe(0);
  rate.note(50, 1_000_000);
  expect(rate.at(1_001_000)).toBe(50 / 5000); // Not from a moment alone.
  rate.note(50, 1_010_000);
  expect(rate.at(1_010_000)).toBe(100 / 10_000);
  rate.note(100, 1_050_000);
  expect(rate.at(1_050_000)).toBe(200 / 50_000);
  expect(rate.at(1_064_000)).toBe(150 / 59_000);
  expect(rate.at(1_070_000)).toBe(100 / 55_000);
  expect(rate.at(1_120_000)).toBe(0);
  rate.note(7, 1_500_000);
  expect(rate.at(1_500_000)).toBe(7 / 55_000);
});
