import { LIMITS } from '../limits.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Hole } from './log-state.ts';
import type { TailCommit } from './recovery.ts';

/** Where streams stand when something is known of them. */
type KnownPlace = Pick<Checkpoint, 'commit' | 'next'>;

export interface ToldEnd {
  /** By stream: the next offset at the place asked for, or after a commit that says more. */
  readonly next: readonly number[];
  /** Offsets before those that no commit tells of. By stream ascending, and apart from each other. */
  readonly missing: readonly Hole[];
}

/**
 * What `commits` (ascending, those between the two places) tell of the way from one place to another
 * of which everything is known. Numbers that are missing say nothing: their segments may have been
 * removed on purpose, and whose offsets are missing is told by the offsets themselves. `from`
 * undefined: before the first commit.
 */
export function toldUpTo(
  to: KnownPlace,
  from: KnownPlace | undefined,
  commits: readonly TailCommit[],
): ToldEnd {
  const missing: Hole[] = [];
  const met = [...(from?.next ?? [])];
  const meet = (stream: number, baseOffset: number, toOffset: number): void => {
    const fromOffset = met[stream] ?? 0;
    if (baseOffset > fromOffset) missing.push({ stream, fromOffset, toOffset: baseOffset });
    met[stream] = Math.max(fromOffset, toOffset);
  };
  for (const { commit, head } of commits) {
    const most = (commit - (from?.commit ?? 0)) * LIMITS.commitRecords;
    const follows = head?.runs.every(({ stream, baseOffset, count }) => {
      const before = from?.next[stream] ?? 0;
      const after = Math.max(to.next[stream] ?? 0, before + most);
      return baseOffset >= before && baseOffset + count <= after;
    });
    if (head === undefined || follows === false) continue;
    for (const { stream, baseOffset, count } of head.runs) {
      meet(stream, baseOffset, baseOffset + count);
    }
  }
  for (const [stream, next] of to.next.entries()) meet(stream, next, next);
  const next = Array.from(met, (offset) => offset ?? 0);
  return { next, missing: joined(missing) };
}

/** Those that touch as one, without what lies before `start` (by stream). */
export function joined(holes: readonly Hole[], start: ArrayLike<number> = []): Hole[] {
  const found: Hole[] = [];
  const cut = holes
    .map((hole) => ({ ...hole, fromOffset: Math.max(hole.fromOffset, start[hole.stream] ?? 0) }))
    .filter(({ fromOffset, toOffset }) => fromOffset < toOffset)
    .toSorted((a, b) => a.stream - b.stream || a.fromOffset - b.fromOffset);
  for (const hole of cut) {
    const last = found.at(-1);
    if (last === undefined || last.stream !== hole.stream || hole.fromOffset > last.toOffset) {
      found.push(hole);
    } else if (hole.toOffset > last.toOffset) {
      found[found.length - 1] = { ...last, toOffset: hole.toOffset };
    }
  }
  return found;
}
