import { basename } from 'node:path';
import type { KnowsLog } from './log-knowledge.ts';
import { numbersOf } from './wal-batch.ts';
import { chainIn, syncedIn, type Chain, type Link } from './wal-chain.ts';
import { copiesIn, copyOf, readWals, replace, type Wal } from './wal-files.ts';
import { walOf } from './wal.ts';

/** Takes a copy of what was altered or left out of a file, with what became of it. */
type Keep = (copy: string, why: string) => Promise<unknown>;

/**
 * Before LevelDB opens a segment: what stands behind altered bytes of its write-ahead files. LevelDB
 * gives up the rest of a block there, and in the last block takes it for the end that a power cut
 * leaves. So such a file is written anew with all commits of the segment that can be read in it, and
 * what is missing shows in their numbers. `first`: the segment's first commit.
 *
 * A power cut leaves the like of commits that were not synced: the later one of two may have
 * reached the disk. Nobody was told that they are durable, so the log ends before the first that is
 * missing, unless that was surely synced. `keep` is given a copy of each file that is changed.
 */
export async function mendWals(
  folder: string,
  first: number,
  knows: KnowsLog,
  keep: Keep,
): Promise<void> {
  for (const copy of await copiesIn(folder)) await keep(copy, LEFT_OVER);
  const wals = await readWals(folder);
  if (areWhole(wals)) return;
  const knowledge = knows();
  const chain = chainIn(wals, first, knowledge.topics);
  const end = endOf(chain, syncedIn(chain, knowledge));
  // Of what is left out the last goes first: what is left meanwhile is as it was, only shorter.
  for (const wal of wals.toReversed()) await mend(wal, chain, end, keep);
}

const LEFT_OVER = 'a copy of an altered write-ahead file, made by a process that ended meanwhile';

/** Nothing is bad in them, and LevelDB's numbers follow each other. */
function areWhole(wals: readonly Wal[]): boolean {
  let next: number | undefined;
  for (const { records, bad } of wals) {
    if (bad.length > 0) return false;
    for (const { bytes } of records) {
      const numbers = numbersOf(bytes);
      if (next !== undefined && numbers.sequence !== next) return false;
      ({ next } = numbers);
    }
  }
  return true;
}

/** How many links are left: all before the first in front of which only unsynced ones are missing. */
function endOf({ links }: Chain, synced: number): number {
  const index = links.findIndex(({ missing }) => missing !== undefined && missing > synced);
  return index === -1 ? links.length : index;
}

/** Leaves in the file what is left of the chain, unless LevelDB finds just that in it. */
async function mend(wal: Wal, { links, strange }: Chain, end: number, keep: Keep): Promise<void> {
  const isIn = (link: Link): boolean => link.wal === wal;
  const left = links.slice(0, end).filter(isIn);
  const cut = links.slice(end).filter(isIn).length;
  const last = left.at(-1)?.record.from ?? 0;
  const altered = wal.bad.filter(({ from }) => from < last);
  if (altered.length === 0 && cut === 0 && !strange.has(wal)) return;
  const copy = await copyOf(wal.path);
  await replace(wal.path, walOf(left.map(({ record }) => record.bytes)));
  const bytes = altered.reduce((sum, { from, to }) => sum + to - from, 0);
  const reasons = [
    ...(bytes > 0 ? [`${bytes} bytes of it are altered, and commits stand behind them`] : []),
    ...(cut > 0
      ? [`${cut} commits at its end were not synced, and one before them is missing`]
      : []),
    ...(strange.has(wal) ? ['it holds what another file left there'] : []),
  ];
  await keep(copy, `${basename(wal.path)} was written anew: ${reasons.join('; ')}`);
}
