import { expect, test } from 'vitest';
import type { Database, Engine } from '../../src/store/database.ts';
import { Segments } from '../../src/store/segments.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';

/** Which databases are open, and a hand on how long closing takes. */
function watched(closing: () => Promise<void>): {
  readonly engine: Engine;
  readonly open: Set<number>;
} {
  const inner = memoryEngine(new MemoryDisk());
  const open = new Set<number>();
  const openSegment: Engine['openSegment'] = async (first, how) => {
    const database = await inner.openSegment(first, how);
    open.add(first);
    const close = async (): Promise<void> => {
      await closing();
      open.delete(first);
      await database.close();
    };
    return Object.assign(Object.create(database) as Database, { close });
  };
  return { engine: { ...inner, openSegment }, open };
}

test('an idle segment is not closed under who came while another one was being closed', async () => {
  const { promise: mayClose, resolve: letClose } = Promise.withResolvers<void>();
  const closing = Promise.withResolvers<void>();
  const { engine, open } = watched(async () => {
    closing.resolve();
    await mayClose;
  });
  const segments = new Segments(engine);
  for (let first = 1; first <= 6; first++) {
    await segments.create(first);
    await segments.hold(first);
    segments.release(first);
  }
  const other = segments.using(6, async () => {}); // Its end closes the two that were used longest ago.
  await closing.promise;
  await segments.using(1, async () => {
    letClose();
    await other;
    expect(open.has(2)).toBe(false);
    expect(open.has(1)).toBe(true);
  });
});
