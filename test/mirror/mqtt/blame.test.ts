import { expect, test } from 'vitest';
import { Blame } from '../../../src/mirror/mqtt/blame.ts';

test('several in flight: they are sent alone until all of them got through', () => {
  const blame = new Blame();
  expect(blame.careful).toBe(false);
  blame.disconnected(['0:1', '0:2', '0:3'], 'reason 0x95');
  for (const _ of [1, 2, 3]) {
    expect(blame.careful).toBe(true);
    blame.acked();
  }
  expect(blame.careful).toBe(false);
});

test('one alone is refused, once', () => {
  const blame = new Blame();
  blame.disconnected(['0:1', '0:2'], 'reason 0x95');
  blame.disconnected(['0:1'], 'reason 0x95');
  expect(blame.careful).toBe(false);
  expect(blame.take('0:2')).toBeUndefined();
  expect(blame.take('0:1')).toBe('the far side ends the session when it is sent: reason 0x95');
  expect(blame.take('0:1')).toBeUndefined();
});

test('a disconnect while nothing was in flight blames nothing', () => {
  const blame = new Blame();
  blame.disconnected([], 'reason 0x81');
  expect(blame.careful).toBe(false);
});
