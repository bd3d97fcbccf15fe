import { expect, test } from 'vitest';
import { Decisions } from '../../src/mirror/decisions.ts';
import type { KeyValue } from '../../src/store/log.ts';

test('a seek that is done is not done again after a restart, though its end could not be stored', async () => {
  const values = new Map<string, Uint8Array>();
  let failure: Error | undefined;
  let writes = 0;
  const space: KeyValue = {
    get: (key) => Promise.resolve(values.get(key)),
    put: async (key, value) => {
      await Promise.resolve();
      if (failure !== undefined) throw failure;
      writes++;
      values.set(key, value);
    },
    delete: () => Promise.resolve(),
  };
  const decisions = await Decisions.load(space);
  const seek = { topic: 't', partition: 0, offset: 3 };
  await decisions.addSeeks([seek]);
  failure = new Error('disk full');
  await expect(decisions.seeksDone([seek])).rejects.toThrow('disk full');
  expect((await Decisions.load(space)).seeks).toEqual([seek]);
  failure = undefined;
  // The next session has no seek to do.
  await decisions.seeksDone([]);
  expect((await Decisions.load(space)).seeks).toEqual([]);
  expect(writes).toBe(2);
  await decisions.seeksDone([]);
  expect(writes).toBe(2);
});
