import { expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { SimClock } from '../support/sim-clock.ts';
import { fill, folderSize, FOREVER, onDisk } from '../support/store-kit.ts';

test('who asks once, as a person does, gets the size of now and not of the time before', async () => {
  const place = await onDisk.make();
  const clock = new SimClock();
  const store = await place.open({ clock });
  try {
    const before = (await store.measured()).diskBytes;
    await fill(store, store.writer.defineTopic('t', FOREVER), 2000, { perCommit: 100 });
    await clock.advance(LIMITS.diskUsageMs + 1);
    const { diskBytes } = await store.measured();
    expect(diskBytes).toBeGreaterThan(before + 2000);
    expect(diskBytes).toBeLessThanOrEqual(await folderSize(place.folder));
  } finally {
    await store.close();
    await place.remove();
  }
});
