import { expect, test } from 'vitest';
import { formatTable } from '../../src/cli/table.ts';

test('columns are as wide as their widest cell, numbers stand to the right', () => {
  expect(
    formatTable(
      [{ title: 'A' }, { title: 'NUMBER', right: true }, { title: 'C' }],
      [
        ['long name', '1', ''],
        ['x', '1234567', 'c'],
      ],
    ),
  ).toEqual(['A           NUMBER  C', 'long name        1', 'x          1234567  c']);
});

test('without rows there is the head alone', () => {
  expect(formatTable([{ title: 'A' }, { title: 'B' }], [])).toEqual(['A  B']);
});
