import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { editDistance, nearest, suggestion } from '../../src/words.ts';

describe('editDistance', () => {
  test.each([
    ['', '', 0],
    ['a', '', 1],
    ['kafka', 'kafka', 0],
    ['kakfa', 'kafka', 1],
    ['kafk', 'kafka', 1],
    ['listn', 'listen', 1],
    ['abc', 'xyz', 3],
  ])('%s %s', (left, right, distance) => {
    expect(editDistance(left, right)).toBe(distance);
  });

  test('is a distance', () => {
    const word = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(word, word, (left, right) => {
        const distance = editDistance(left, right);
        expect(distance).toBe(editDistance(right, left));
        expect(distance === 0).toBe(left === right);
        expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length));
        expect(distance).toBeGreaterThanOrEqual(Math.abs(left.length - right.length));
      }),
    );
  });
});

test('nearest takes the nearest, and none that is far', () => {
  expect(nearest('topc', ['topics', 'topic'])).toBe('topic');
  expect(nearest('TOPIC', ['topic'])).toBe('topic');
  expect(nearest('websockets', ['listen', 'users'])).toBeUndefined();
  expect(nearest('x', [])).toBeUndefined();
});

test('suggestion falls back to what there is', () => {
  expect(suggestion('topc', ['topic'])).toBe(' (did you mean "topic"?)');
  expect(suggestion('zzz', ['a-topic', 'b-topic'])).toBe(' (known here: a-topic, b-topic)');
  expect(suggestion('zzz', [])).toBe('');
});
