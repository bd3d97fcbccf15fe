import { expect, it } from 'vitest';
import { placesText } from '../../src/page/places.ts';

it('offers an offset only where it means one record', () => {
  expect(placesText([{ endOffset: 12 }])).toContain('an offset (the end is 12)');
  // Of several partitions each has an end of its own.
  expect(placesText([{ endOffset: 0 }, { endOffset: 310 }])).toBe(
    'To: beginning, end, or a time such as 2026-11-22T08:00:00Z',
  );
});
