import { open, readdir, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import type { Random } from '../../random.ts';
import { count, plural } from '../demo/text.ts';
import { between, type Exercise, holds } from './exercise.ts';
import { Filler } from './filler.ts';
import { findNumbers, numberChecks, type NumberRange } from './numbered.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';

/** Power cuts by proxy: the process is killed, and what the disk had not confirmed is taken away. */
export const powerExercise: Exercise = {
  name: 'power',
  title: 'power cuts: what the disk had not confirmed is lost, or torn',
  share: 0.2,
  run: async ({ folder, forMs, clock, random, env, signal }) => {
    const data = path.join(folder, 'data');
    const acknowledged: NumberRange[] = [];
    let cuts = 0;
    let bytes = 0;
    let fell = 0;
    let next = 1;
    const untilMs = clock.monotonicMs() + forMs;
    while (clock.monotonicMs() < untilMs && !signal.aborted) {
      const filler = new Filler({ folder: data, next, env });
      try {
        // Some cuts come while it still recovers from the one before.
        const begun = random.next() < 0.8;
        const started = (): boolean => filler.acknowledged.length > 0 || filler.fell;
        if (begun) await holds(started, TRIAL_LIMITS.rehearseReadyMs, { clock, signal });
        await clock.sleep(between(random, 5, 300), signal);
      } finally {
        await filler.kill();
      }
      if (filler.fell) fell++;
      acknowledged.push(...filler.acknowledged);
      // Numbers that may be there or not are not used again.
      next = Math.max(next, filler.lastAcknowledged) + 1000;
      bytes += await loseUnsynced(data, filler.synced, random);
      cuts++;
    }
    const found = await findNumbers(data, acknowledged, { clock, random });
    return {
      done: `${plural(cuts, 'cut')}; ${count(bytes)} bytes that were not confirmed taken or spoiled`,
      checks: [
        ...numberChecks(acknowledged, found),
        { text: 'the store opened after every cut', ok: fell === 0, detail: '' },
      ],
      note:
        'what the disk confirmed is taken at its word: a disk that lies about it shows only when ' +
        'the power is really cut',
    };
  },
};

/** Returns the bytes that were taken or spoiled. */
async function loseUnsynced(
  folder: string,
  synced: ReadonlyMap<string, number>,
  random: Random,
): Promise<number> {
  let bytes = 0;
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  // The size of a file that was never told of is nobody's promise; it is left to chance as well.
  for (const name of names.filter((one) => one.endsWith('.log') && synced.has(one))) {
    const file = path.join(folder, name);
    const covered = synced.get(name) ?? 0;
    const { size } = await stat(file);
    if (size <= covered) continue;
    const keep = covered + Math.floor(random.next() * (size - covered));
    if (random.next() < 0.5) await truncate(file, keep);
    else await zero(file, keep, size);
    bytes += size - keep;
  }
  return bytes;
}

/** The size reached the disk, the bytes did not. */
async function zero(file: string, from: number, to: number): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.write(Buffer.alloc(to - from), 0, to - from, from);
  } finally {
    await handle.close();
  }
}
