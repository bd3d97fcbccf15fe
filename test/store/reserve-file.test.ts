import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { ReserveFile } from '../../src/store/reserve-file.ts';

const MIB = 1_048_576;

test('a reserve in a file is really there, and gives back when asked', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gatelog-reserve-'));
  const path = join(folder, 'reserve');
  const file = new ReserveFile(path);
  expect([await file.bytes(), await file.relieve()]).toEqual([0, false]);
  for (let chunk = 0; chunk < 3; chunk++) await file.grow(Buffer.alloc(MIB, 0xa5 + chunk));
  expect(await file.bytes()).toBe(3 * MIB);
  expect((await stat(path)).blocks * 512).toBeGreaterThanOrEqual(3 * MIB);
  expect(await file.relieve()).toBe(true);
  expect(await file.bytes()).toBe(3 * MIB - LIMITS.reserveReliefBytes);
  expect([await file.relieve(), await file.bytes(), await file.relieve()]).toEqual([
    true,
    0,
    false,
  ]);
  await rm(folder, { recursive: true });
});
