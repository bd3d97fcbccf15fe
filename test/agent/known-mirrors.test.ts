import { expect, test } from 'vitest';
import { KnownMirrors, positionsName } from '../../src/agent/known-mirrors.ts';
import type { StreamId } from '../../src/record.ts';
import type { PositionStore } from '../../src/store/log.ts';
import { append, FOREVER, inMemory, rememberingLogger } from '../support/store-kit.ts';

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

test('a mirror that leads to Kafka where it led to a broker begins anew, and does so once', async () => {
  const store = await (await inMemory.make()).open();
  const stream = store.writer.defineTopic('t', FOREVER).streams[0] as StreamId;
  await append(store, stream);
  const known = await KnownMirrors.load(store, ['central']);
  const logger = rememberingLogger();
  await known.beginAnewElsewhere({ central: 'mqtt' }, logger);
  const open = (): Promise<PositionStore> => store.positions(positionsName('central'), {});
  await (await open()).advance(new Map([[stream, 1]]));
  await known.beginAnewElsewhere({ central: 'mqtt' }, logger);
  expect((await open()).get(stream)).toBe(1);
  await known.beginAnewElsewhere({ central: 'kafka' }, logger);
  expect((await open()).get(stream)).toBeUndefined();
  await (await open()).advance(new Map([[stream, 1]]));
  await known.beginAnewElsewhere({ central: 'kafka' }, logger);
  expect((await open()).get(stream)).toBe(1);
  const told = logger.lines.map(({ message }) => message);
  expect(told).toEqual([expect.stringMatching(/^mirror central went to an MQTT broker, .* anew/u)]);
  await store.close();
});
