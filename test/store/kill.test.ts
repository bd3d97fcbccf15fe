import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import { append, onDisk, readAll, text, type Place } from '../support/store-kit.ts';

let place: Place;

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(async () => {
  await place.remove();
});

/** Appends in a child until it told `lines` records, then kills it. Returns all it told. */
async function appendUntilKilled(seed: number, lines: number): Promise<string[]> {
  const child = spawn(
    process.execPath,
    ['test/support/store-child.ts', place.folder, 'append', String(seed)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const told: string[] = [];
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line !== 'ready') told.push(line);
    if (told.length >= lines) child.kill('SIGKILL');
  }
  await exited;
  return told;
}

test('kill -9 at random moments: everything acknowledged is there, unchanged and dense', async () => {
  const random = seededRandom(20_261_122);
  const acked = new Map<string, string>();
  for (let round = 1; round <= 6; round++) {
    const told = await appendUntilKilled(round, 1 + Math.floor(random.next() * 3000));
    for (const line of told) {
      const [stream, offset, value] = line.split(' ');
      expect(acked.has(`${stream} ${offset}`), 'no offset is given out twice').toBe(false);
      // The last line may be torn by the kill.
      if (value !== undefined && line !== told.at(-1)) acked.set(`${stream} ${offset}`, value);
    }
    const store = await place.open();
    const streams = [0, 1, 2].map(streamId);
    const { records, gaps } = await readAll(store, streams);
    expect(gaps).toEqual([]);
    const found = new Map<string, string | null>();
    for (const [stream, list] of records) {
      expect(list.map(({ offset }) => offset)).toEqual(list.map((_, index) => index));
      for (const { offset, value } of list) found.set(`${stream} ${offset}`, text(value));
    }
    for (const [place_, value] of acked) expect(found.get(place_)).toBe(value);
    // What is stored here is told too, by nobody: the next round must not reuse its offset.
    const stream = streams[0];
    if (stream !== undefined) {
      const offset = await append(store, stream, { value: Buffer.from('between') });
      acked.set(`0 ${offset}`, 'between');
    }
    await store.close();
  }
  expect(acked.size).toBeGreaterThan(1000);
}, 120_000);
