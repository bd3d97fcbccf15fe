import { expect, test } from 'vitest';
import { inMemory, text } from '../support/store-kit.ts';

test('a space gives all its keys, in order, whatever text they are', async () => {
  const place = await inMemory.make();
  const store = await place.open();
  const space = store.keyValue('one');
  const keys = ['', 'a', 'a/b', '~', '~~x', 'ü', '\u{FFFF}'];
  await space.write(keys.map((key) => ({ key, value: Buffer.from(`of ${key}`) })));
  await store.keyValue('one~').put('x', Buffer.from('another space'));
  const found = await space.entries();
  expect(found.map(([key, value]) => [key, text(value)])).toEqual(
    keys.map((key) => [key, `of ${key}`]),
  );
  const scanned: string[] = [];
  for await (const [key] of space.scan('~')) scanned.push(key);
  expect(scanned).toEqual(['~', '~~x']);
  await space.write([
    { key: 'a', value: undefined },
    { key: 'b', value: Buffer.from('new') },
  ]);
  expect(await space.get('a')).toBeUndefined();
  expect(text(await space.get('b'))).toBe('new');
  await store.close();
});
