import { describe, expect, test } from 'vitest';
import { LargePatience } from '../../src/mirror/large-patience.ts';

type Ending = { readonly late: number } | { readonly took: number } | 'nothing';

function waitsOf(endings: readonly Ending[], mostMs = 900_000): number[] {
  const patience = new LargePatience({ configuredMs: 20_000, mostMs });
  return endings.map((ending) => {
    const waitMs = patience.begin();
    if (ending === 'nothing') return waitMs;
    if ('late' in ending) patience.late(ending.late);
    else patience.carried(ending.took);
    return waitMs;
  });
}

const LARGE = 1_048_576;

describe('a large record that was late is waited for longer', () => {
  test('three times each time, up to a bound', () => {
    const late = Array.from({ length: 6 }, () => ({ late: LARGE }));
    expect(waitsOf(late)).toEqual([20_000, 60_000, 180_000, 540_000, 900_000, 900_000]);
    expect(waitsOf(late, 30_000)).toEqual([20_000, 30_000, 30_000, 30_000, 30_000, 30_000]);
  });

  test('not longer than 8 kbit/s take, and not at all for what is small', () => {
    const late = (bytes: number): Ending[] => Array.from({ length: 4 }, () => ({ late: bytes }));
    expect(waitsOf(late(50_000))).toEqual([20_000, 60_000, 70_000, 70_000]);
    expect(waitsOf(late(19_000))).toEqual([20_000, 20_000, 20_000, 20_000]);
  });

  test('and back by halves, with room for what records took; sessions without any change nothing', () => {
    const twice = [{ late: LARGE }, { late: LARGE }];
    expect(
      waitsOf([...twice, { took: 80_000 }, { took: 80_000 }, { took: 0 }, { took: 0 }]),
    ).toEqual([20_000, 60_000, 180_000, 120_000, 120_000, 60_000]);
    expect(waitsOf([...twice, 'nothing', 'nothing', { took: 1 }, { took: 1 }])).toEqual([
      20_000, 60_000, 180_000, 180_000, 180_000, 90_000,
    ]);
  });
});
