import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Checkpoint } from './checkpoint.ts';
import { isDamage, isUnsteady } from './damage.ts';
import { readProducers, readTail, type Tail, type TailCommit } from './recovery.ts';
import type { Segments } from './segments.ts';

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
  readonly checkpoint: Checkpoint | undefined;
  /** In which segment that stands. */
  readonly checkpointIn: number;
  /** All after the checkpoint, ascending. */
  readonly commits: readonly TailCommit[];
  readonly producers: readonly (readonly [string, number])[];
  /** Newest first. */
  readonly unreadable: readonly UnreadableSegment[];
}

export interface LogEndOptions {
  readonly segments: Segments;
  readonly logger: Logger;
  readonly readOnly: boolean;
  /** What the state database remembers may stand in for a checkpoint. */
  readonly remembered: Checkpoint | undefined;
}

/**
 * Reads the newest segments back to a checkpoint: one, unless it is empty or damaged. What can't be
 * read is repaired, and what can't be repaired set aside; it never fails for damage.
 */
export async function findLogEnd(options: LogEndOptions): Promise<LogEnd> {
  const { segments, remembered } = options;
  const unreadable: UnreadableSegment[] = [];
  let active = 0;
  let activeTail: Tail | undefined;
  let commits: TailCommit[] = [];
  for (const first of segments.firsts.toReversed()) {
    const tail = await tailOf(first, options, unreadable);
    if (tail === undefined) continue;
    if (tail.checkpoint === undefined && tail.commits.length === 0) {
      await dropEmpty(first, options);
      continue;
    }
    if (active === 0) {
      active = first;
      activeTail = tail;
    }
    commits = tail.commits.concat(commits);
    const { checkpoint } = tail;
    if (checkpoint === undefined) continue;
    const producers = await segments.using(first, (at) => readProducers(at, checkpoint));
    return { active, activeTail, checkpoint, checkpointIn: first, commits, producers, unreadable };
  }
  const start = commits[0]?.commit ?? Infinity;
  if (remembered !== undefined && remembered.commit < start) {
    const { producers } = remembered;
    const found = { active, activeTail, checkpoint: remembered, checkpointIn: 0, commits };
    return { ...found, producers, unreadable };
  }
  // Commits without any checkpoint: nobody knows which topics and offsets they are of.
  for (const first of segments.firsts.toReversed()) {
    await setAside(first, 'no checkpoint in it can be read', options, unreadable);
  }
  const nothing = { active: 0, activeTail: undefined, checkpoint: undefined, checkpointIn: 0 };
  return { ...nothing, commits: [], producers: [], unreadable };
}

/** Attempts at one segment: as it is, once more if the disk failed to read, and repaired. */
const REPAIR = 2;

async function tailOf(
  first: number,
  options: LogEndOptions,
  unreadable: UnreadableSegment[],
): Promise<Tail | undefined> {
  const { segments, readOnly, logger } = options;
  let why = '';
  for (let attempt = 0; attempt <= REPAIR; attempt++) {
    try {
      if (attempt === REPAIR && (readOnly || !(await segments.repair(first)))) break;
      return await segments.using(first, async (database) => {
        await segments.check?.(first, database); // Also when it was open already.
        return readTail(database);
      });
    } catch (error) {
      if (!isDamage(error) && !isUnsteady(error)) throw error;
      why = messageOf(error);
      logger.error(
        { event: 'store.segment-damaged', segment: first, error: why },
        'the end of a segment can not be read',
      );
      if (!isUnsteady(error)) attempt = Math.max(attempt, REPAIR - 1);
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
  if (readOnly) await segments.ignore(first);
  else await segments.remove(first);
}
