import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemRandom } from '../../src/random.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

test('after a look at a folder whose last segment is still empty, the folder is free', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gatelog-read-only-'));
  const options = { folder, clock: systemClock, random: systemRandom, logger: silentLogger };
  try {
    const first = await openStore(options);
    await first.close();
    // As a kill leaves it that comes after a segment was opened ahead of need.
    const ahead = await levelEngine(folder, false).openSegment(500, 'create');
    await ahead.close();
    const looked = await openStore({ ...options, readOnly: true });
    await looked.close();
    const again = await openStore(options);
    expect(again.identity.incarnation).toBe(looked.identity.incarnation);
    await again.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
