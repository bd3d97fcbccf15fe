import { totalmem } from 'node:os';
import { afterEach, expect, test, vi } from 'vitest';
import { usableMemory } from '../../src/memory.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

test.each([
  ['of a group', 160e6, 160e6],
  ['of the machine, where no group is known', 0, totalmem()],
  ['of the machine, where the group has no bound', 2 ** 64, totalmem()],
])('usable memory is that %s', (_, constrained, expected) => {
  vi.spyOn(process, 'constrainedMemory').mockReturnValue(constrained);
  expect(usableMemory()).toBe(expected);
});
