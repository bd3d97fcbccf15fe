import { expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import { leaveAsKilled } from '../support/damage-kit.ts';
import { append, appendOnce, FOREVER, onDisk } from '../support/store-kit.ts';

test('what only the state database knew of a producer stands in the next checkpoint', async () => {
  const place = await onDisk.make();
  const value = Buffer.from('once');
  let store = await place.open();
  const [stream] = store.writer.defineTopic('t', FOREVER).streams as [StreamId];
  /** The commit after a definition has a checkpoint. */
  const checkpointed = async (name: string): Promise<void> => {
    store.writer.defineTopic(name, FOREVER);
    await append(store, stream);
    await append(store, stream);
  };
  const killed = async (): Promise<void> => {
    await leaveAsKilled({ place }, store);
    store = await place.open();
  };
  await appendOnce(store, 'edge/a', 5, stream, value);
  await checkpointed('u');
  await appendOnce(store, 'edge/a', 10, stream, value);
  await killed(); // Opening notes the end, and with it the 10.
  await killed(); // From there it goes on.
  await checkpointed('v');
  await killed();
  expect(await appendOnce(store, 'edge/a', 10, stream, value)).toBe(-1);
  await store.close();
  await place.remove();
});
