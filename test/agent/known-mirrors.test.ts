import { expect, test } from 'vitest';
import { KnownMirrors } from '../../src/agent/known-mirrors.ts';
import { inMemory } from '../support/store-kit.ts';

test('a mirror that is forgotten leaves nothing but its journal', async () => {
  const store = await (await inMemory.make()).open();
  await KnownMirrors.load(store, ['old', 'old2']);
  const spaces = ['mirror', 'link', 'sampled', 'mqtt-mirror', 'kafka'].map((kind) => `${kind}.old`);
  const others = ['link.old2', 'link.older'];
  for (const space of [...spaces, ...others]) {
    await store.keyValue(space).put('one', Buffer.from('1'));
    await store.keyValue(space).put('two', Buffer.from('2'));
  }
  await (await KnownMirrors.load(store, [])).forget('old');
  const left: string[] = [];
  for (const space of [...spaces, ...others]) {
    const entries = await store.keyValue(space).entries();
    left.push(...entries.map(([key, value]) => `${space} ${key} ${Buffer.from(value).toString()}`));
  }
  expect(left).toEqual(
    ['kafka.old', ...others].flatMap((space) => [`${space} one 1`, `${space} two 2`]),
  );
  expect((await KnownMirrors.load(store, [])).absent()).toEqual(['old2']);
  await store.close();
});
