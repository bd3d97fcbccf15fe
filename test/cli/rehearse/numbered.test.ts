import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  findNumbers,
  numberChecks,
  payloadOf,
  REHEARSAL_TOPIC,
} from '../../../src/cli/rehearse/numbered.ts';
import { seededRandom } from '../../../src/random.ts';
import { systemClock } from '../../../src/time.ts';
import { openStore } from '../../../src/store/open.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { append, FOREVER } from '../../support/store-kit.ts';

/** The judge of `gatelog rehearse` sees what it is there to see. */
const parts = { clock: systemClock, random: seededRandom(1) };
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-numbered-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function store(values: readonly Uint8Array[]): Promise<void> {
  const opened = await openStore({ folder, ...parts, logger: silentLogger });
  const { streams } = opened.writer.defineTopic(REHEARSAL_TOPIC, { ...FOREVER, partitions: 1 });
  for (const value of values) {
    for (const stream of streams) await append(opened, stream, { value });
  }
  await opened.close();
}

test('a whole log is found whole', async () => {
  await store([1, 2, 3].map(payloadOf));
  const acknowledged = [
    { from: 1, to: 2 },
    { from: 3, to: 3 },
  ];
  const found = await findNumbers(folder, acknowledged, parts);
  expect(found).toEqual({ records: 3, missing: 0, altered: 0, repeated: 0, gaps: 0 });
  expect(numberChecks(acknowledged, found).every(({ ok }) => ok)).toBe(true);
});

test('missing, altered and repeated records are seen', async () => {
  const altered = payloadOf(700);
  altered[50] = 0;
  await store([payloadOf(1), payloadOf(1), altered, Buffer.from('?')]);
  const acknowledged = [{ from: 1, to: 4 }];
  const found = await findNumbers(folder, acknowledged, parts);
  expect(found).toEqual({ records: 4, missing: 3, altered: 2, repeated: 1, gaps: 0 });
  expect(numberChecks(acknowledged, found).map(({ ok }) => ok)).toEqual([false, false]);
});

test('nothing promised proves nothing', async () => {
  await store([]);
  const found = await findNumbers(folder, [], parts);
  expect(numberChecks([], found)[0]).toMatchObject({ ok: false });
});
