import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Random, seededRandom } from '../../src/random.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { ramFolder } from './ram-folder.ts';
import { compileWitness, Witness } from './witness.ts';

const PROGRAM = join(import.meta.dirname, 'thinning-process.ts');
const COMMITS = 40;
/** Long, so that a kill finds each step under way. */
const SYNC_US = 4000;

/** Lives until `line` was said so many ms ago, or until it says `end`. Resolves with what it said. */
async function live(
  folder: string,
  env: Readonly<Record<string, string>>,
  line: string,
  afterMs: number,
): Promise<string[]> {
  const child = spawn(process.execPath, [PROGRAM, folder], { env: { ...process.env, ...env } });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    const before = text;
    text += part;
    if (!before.includes(line) && text.includes(line)) {
      setTimeout(() => child.kill('SIGKILL'), afterMs);
    }
    if (text.includes('end\n')) child.kill('SIGKILL');
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (errors += part));
  const [, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('close', (code, by) => resolve([code, by]));
  });
  expect([signal, errors]).toEqual(['SIGKILL', '']);
  return text.split('\n');
}

/** Every segment holds all of its commits, or those that were to stay. Resolves with which is thin. */
async function check(folder: string): Promise<Map<number, boolean>> {
  const engine = levelEngine(folder, false);
  const state = await engine.openState();
  const thin = new Map<number, boolean>();
  for (const first of await engine.segments()) {
    const database = await engine.openSegment(first, 'existing');
    const found: number[] = [];
    for (let commit = first; commit < first + COMMITS; commit++) {
      const value = await database.get(entryKey(commit, 'commit'));
      if (value === undefined) continue;
      expect(value.every((byte) => byte === commit % 256)).toBe(true);
      found.push(commit);
    }
    await database.close();
    const all = Array.from({ length: COMMITS }, (_, at) => first + at);
    const isThin = found.length < COMMITS;
    expect(found).toEqual(isThin ? all.filter((commit) => commit % 4 === 0) : all);
    thin.set(first, isThin);
  }
  await state.close();
  return thin;
}

async function round(
  library: string,
  below: string,
  random: Random,
): Promise<{ readonly undone: number; readonly thin: number }> {
  const root = join(below, 'disk');
  rmSync(below, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  const folder = join(root, 'data');
  const witness = new Witness(library, { folder: below, root, syncUs: SYNC_US });
  await live(folder, { ...witness.env, WITNESS_SYNC_US: '0' }, 'made', 0);
  witness.died();
  witness.settle();
  const line = random.next() < 0.3 ? 'thinning 1\n' : 'exchanging 41\n';
  const said = await live(folder, witness.env, line, random.next() * 20);
  const { undone, unfollowed } = witness.cut(random);
  expect(unfollowed).toEqual([]);
  const thin = await check(folder);
  expect([...thin.keys()]).toEqual([1, 41, 81, 121]);
  for (const first of thin.keys()) {
    if (said.includes(`thinned ${first}`)) expect(thin.get(first)).toBe(true);
  }
  return { undone, thin: [...thin.values()].filter(Boolean).length };
}

/** Resolves with changes of names that cuts took back, and segments that were thinned before. */
export async function cutWhileThinning(
  rounds: number,
): Promise<{ readonly undone: number; readonly thin: number }> {
  const seed = seedOfRun();
  console.log(`thinning: GATELOG_SEED=${seed} replays this run`);
  const random = seededRandom(seed);
  return inWorkFolder(
    'thinning',
    async (folder) => {
      const library = await compileWitness(folder);
      const totals = { undone: 0, thin: 0 };
      for (let count = 0; count < rounds; count++) {
        const { undone, thin } = await round(library, join(folder, 'round'), random);
        totals.undone += undone;
        totals.thin += thin;
      }
      return totals;
    },
    ramFolder(),
  );
}
