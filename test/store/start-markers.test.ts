import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { MARKERS_FILE, readDeaths, StartMarkers } from '../../src/store/start-markers.ts';
import { SimClock } from '../support/sim-clock.ts';

/** What counts as a death over a database, and what does not. */
let folder: string;
let clock: SimClock;

/** Another process, after one that ended without a word. */
const next = (): StartMarkers => new StartMarkers(folder, clock);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-markers-'));
  clock = new SimClock();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('each process that ends while it is open counts, and one that closes it forgets them', () => {
  next().begin('7');
  expect(next().deaths('7')).toBe(1);
  next().begin('7');
  const third = next();
  expect(third.deaths('7')).toBe(2);
  expect(third.deaths('8')).toBe(0);
  third.begin('7');
  third.end('7');
  expect(next().deaths('7')).toBe(0);
});

test('one that was open for a while is not what ends processes', async () => {
  next().begin('7');
  await clock.advance(LIMITS.markerSettledMs);
  expect(next().deaths('7')).toBe(0);
});

test('closing and opening in one start does not begin the count anew', () => {
  for (let dead = 1; dead <= 3; dead++) {
    const markers = next();
    markers.begin('state'); // It tells damage,
    markers.end('state');
    markers.begin('state'); // is repaired,
    markers.end('state');
    markers.begin('state'); // and ends the process later.
    expect(next().deaths('state')).toBe(dead);
  }
});

test('what another process looked into and found harmless begins anew', () => {
  next().begin('8');
  const markers = next();
  markers.forget('8');
  markers.begin('8');
  expect(next().deaths('8')).toBe(1);
});

test('a boot ends all processes: their marks say nothing', async () => {
  next().begin('7');
  const file = join(folder, MARKERS_FILE);
  const found = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...found, boot: 'another' }));
  expect(next().deaths('7')).toBe(0);
});

test.each(['', 'x', '{}', 'null', '[]'])(
  'a torn file (%j) says nothing, and nothing fails',
  async (text) => {
    await writeFile(join(folder, MARKERS_FILE), text);
    expect(readDeaths(join(folder, MARKERS_FILE))).toEqual({});
    next().begin('7');
    expect(next().deaths('7')).toBe(1);
  },
);
