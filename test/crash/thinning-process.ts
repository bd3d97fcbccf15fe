/**
 * The process under test: thins the segments of a folder one after the other until it is killed, each
 * to the commits whose number is a multiple of four: node test/crash/thinning-process.ts FOLDER
 *
 * Says `thinning N`, `exchanging N` when the new one is made, and `thinned N` when that is durable.
 */
import { writeSync } from 'node:fs';
import { entryKey } from '../../src/store/commit-key.ts';
import type { Engine } from '../../src/store/database.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import { Segments } from '../../src/store/segments.ts';

const SEGMENTS = 4;
const COMMITS = 40;
const VALUE_BYTES = 3000;

const [, , folder = ''] = process.argv;
if (folder === '') process.exit(0);
process.stdin.resume();

function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

async function make(engine: Engine): Promise<void> {
  for (let first = 1; first <= SEGMENTS * COMMITS; first += COMMITS) {
    const database = await engine.openSegment(first, 'create');
    for (let commit = first; commit < first + COMMITS; commit++) {
      await database.put(entryKey(commit, 'commit'), Buffer.alloc(VALUE_BYTES, commit), true);
    }
    await database.close();
  }
}

const engine = levelEngine(folder, false);
await engine.openState();
const segments = new Segments(engine);
await segments.load();
if (segments.count === 0) {
  await make(engine);
  await segments.load();
  tell('made');
}
for (const first of segments.firsts) {
  tell(`thinning ${first}`);
  const outcome = await segments.replace(
    first,
    '',
    async (from, to) => {
      for (let commit = first; commit < first + COMMITS; commit++) {
        const key = entryKey(commit, 'commit');
        const value = commit % 4 === 0 ? await from.get(key) : undefined;
        if (value !== undefined) await to.write([{ key, value }]);
      }
      return true;
    },
    async () => tell(`exchanging ${first}`),
  );
  tell(outcome === 'replaced' ? `thinned ${first}` : `failed ${first}: ${outcome}`);
}
tell('end');
