import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { StoredTopic } from './commit-head.ts';
import { isDamage, isUnsteady } from './damage.ts';
import type { Hole } from './log-state.ts';
import { unreadableError } from './patience.ts';
import { readProducers, readTail, requireRead, type Tail, type TailCommit } from './recovery.ts';
import { nameOf, type Segments } from './segments.ts';
import { toldUpTo } from './told-end.ts';

/** A segment of which nothing can be used. */
export interface UnreadableSegment {
  readonly first: number;
  readonly why: string;
  /** Its name in `quarantine/`; undefined: it is still where it was, or gone. */
  readonly aside: string | undefined;
}

/** The end of the log as its segments tell it. */
export interface LogEnd {
  /** First commit of the segment to go on in; 0: there is none. */
  readonly active: number;
  readonly activeTail: Tail | undefined;
  /** The newest place of which everything is known: one in the log, or what is remembered. */
  readonly checkpoint: Checkpoint | undefined;
  /** All after the checkpoint, ascending. */
  readonly commits: readonly TailCommit[];
  /** Offsets before it that what was read should hold and does not; of those removed on purpose, too. */
  readonly missing: readonly Hole[];
  /** The log itself does not tell of all topics yet that are known. */
  readonly tellsLess: boolean;
  /** The last commit that stands in a segment; 0: none does. */
  readonly lastCommit: number;
  readonly producers: readonly (readonly [string, number])[];
  /** Newest first. */
  readonly unreadable: readonly UnreadableSegment[];
}

export interface LogEndOptions {
  readonly segments: Segments;
  readonly logger: Logger;
  readonly readOnly: boolean;
  /** What the state database remembers of the log's end; it is often newer than every checkpoint. */
  readonly remembered: Checkpoint | undefined;
}

/** What the segments themselves tell. */
interface Found {
  active: number;
  activeTail: Tail | undefined;
  checkpoint: Checkpoint | undefined;
  commits: TailCommit[];
}

/**
 * Reads the newest segments back to a checkpoint: one, unless it is empty or damaged. The log goes on
 * from there, or from what is remembered if that is newer: numbers that are missing before it say
 * nothing, as segments are removed between others. What can't be read is repaired, and what can't be
 * repaired set aside; it never fails for damage.
 */
export async function findLogEnd(options: LogEndOptions): Promise<LogEnd> {
  const { segments, remembered } = options;
  const unreadable: UnreadableSegment[] = [];
  const found: Found = { active: 0, activeTail: undefined, checkpoint: undefined, commits: [] };
  for (const first of segments.firsts.toReversed()) {
    const tail = await tailOf(first, options, unreadable);
    if (tail === undefined) continue;
    const { checkpoint } = tail;
    if (checkpoint === undefined && tail.commits.length === 0) {
      await dropEmpty(first, options);
      continue;
    }
    if (found.active === 0) {
      found.active = first;
      found.activeTail = tail;
    }
    found.checkpoint = checkpoint;
    found.commits = tail.commits.concat(found.commits);
    if (checkpoint === undefined) continue;
    if (remembered !== undefined && remembered.commit > checkpoint.commit) break;
    const told = await segments.using(first, (at) => readProducers(at, checkpoint));
    // A checkpoint between may be unreadable: what is remembered is older, and gives way.
    const producers = remembered === undefined ? told : [...remembered.producers, ...told];
    const lastCommit = found.commits.at(-1)?.commit ?? checkpoint.commit;
    return { ...found, missing: [], tellsLess: false, lastCommit, producers, unreadable };
  }
  if (remembered !== undefined) return goingOn(remembered, found, unreadable);
  // Commits without any checkpoint: nobody knows which topics and offsets they are of.
  for (const first of segments.firsts.toReversed()) {
    await setAside(first, 'no checkpoint in it can be read', options, unreadable);
  }
  const nothing = { active: 0, activeTail: undefined, checkpoint: undefined, commits: [] };
  return { ...nothing, missing: [], tellsLess: false, lastCommit: 0, producers: [], unreadable };
}

/** From what is remembered, which is newer than every checkpoint that was found. */
function goingOn(
  remembered: Checkpoint,
  { active, activeTail, checkpoint, commits }: Found,
  unreadable: readonly UnreadableSegment[],
): LogEnd {
  const before = commits.filter(({ commit }) => commit <= remembered.commit);
  const { next, missing } = toldUpTo(remembered, checkpoint, before);
  return {
    active,
    activeTail,
    checkpoint: { ...remembered, next },
    commits: commits.slice(before.length),
    missing,
    tellsLess: isNews(remembered.topics, [
      ...(checkpoint?.topics ?? []),
      ...before.flatMap(({ head }) => head?.topics ?? []),
    ]),
    lastCommit: commits.at(-1)?.commit ?? checkpoint?.commit ?? 0,
    producers: remembered.producers,
    unreadable,
  };
}

/** Definitions wait in memory for a commit, and may be remembered before. */
function isNews(topics: readonly StoredTopic[], told: readonly StoredTopic[]): boolean {
  const partitions = new Map(told.map(({ name, streams }) => [name, streams.length]));
  return topics.some(({ name, streams }) => streams.length > (partitions.get(name) ?? 0));
}

/** Attempts at one segment: as it is, and repaired. */
const REPAIR = 1;
/** A segment's place, as failed reads are counted: its end, wherever that is. */
const END = -2;

async function tailOf(
  first: number,
  options: LogEndOptions,
  unreadable: UnreadableSegment[],
): Promise<Tail | undefined> {
  const { segments, logger } = options;
  let why = '';
  let unanswered = 0;
  let givenUp = false;
  for (let attempt = 0; attempt <= REPAIR; attempt++) {
    try {
      if (attempt === REPAIR && !(await segments.repair(first))) break;
      return await segments.using(first, async (database) => {
        await segments.check?.(first, database); // Also when it was open already.
        const tail = await readTail(database);
        if (!givenUp) await requireRead(database, tail);
        return tail;
      });
    } catch (error) {
      if (!isDamage(error) && !isUnsteady(error)) throw error;
      if (isUnsteady(error) && !givenUp) {
        const verdict = await segments.afterFailedRead(first, END, unanswered++);
        if (verdict === 'wait') throw unreadableError(nameOf(first), error);
        givenUp = verdict === 'lost';
        attempt--;
        continue;
      }
      why = messageOf(error);
      logger.error(
        { event: 'store.segment-damaged', segment: first, error: why },
        'the end of a segment can not be read',
      );
    }
  }
  await setAside(first, why, options, unreadable);
  return undefined;
}

async function setAside(
  first: number,
  why: string,
  { segments, readOnly }: LogEndOptions,
  unreadable: UnreadableSegment[],
): Promise<void> {
  let aside: string | undefined;
  if (readOnly) await segments.ignore(first);
  else aside = await segments.setAside(first, { why, commits: [first, undefined] });
  unreadable.push({ first, why, aside });
}

/** A segment that was opened ahead of need and never written to. */
async function dropEmpty(first: number, { segments, readOnly }: LogEndOptions): Promise<void> {
  segments.prepared = Math.max(segments.prepared, first);
  if (readOnly) await segments.ignore(first);
  else await segments.remove(first);
}
