import { must } from '../assert.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { GAPS, type GapJson, type LedgerEntry, parseGap } from '../loss.ts';
import type { StreamId } from '../record.ts';
import { parseIsoTime, type Clock } from '../time.ts';
import { counted } from '../words.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { CursorOptions } from './cursor.ts';
import { gapsGiven } from './ledger-outlet.ts';
import type { Ledger } from './ledger.ts';
import type { LostSegments } from './lost-segments.ts';
import { Reader } from './reader.ts';

const READ = { maxRecords: LIMITS.readRecords, maxBytes: LIMITS.readBytes };

/** What `_gaps` holds of the ledger of this log, from its end back; not what others put there. */
class GapsBackwards {
  readonly #log: CursorOptions;
  readonly #incarnation: string;
  readonly #stream: StreamId | undefined;
  readonly #start: number = 0;
  #end = 0;

  constructor(log: CursorOptions, incarnation: string) {
    this.#log = log;
    this.#incarnation = incarnation;
    const reader = new Reader(log);
    // The first, as the outlet has it.
    this.#stream = reader.topic(GAPS)?.streams[0];
    if (this.#stream === undefined) return;
    const { startOffset, endOffset } = reader.range(this.#stream);
    this.#start = startOffset;
    this.#end = endOffset;
  }

  get done(): boolean {
    return this.#stream === undefined || this.#end <= this.#start;
  }

  /** Those between two checkpoints, oldest first: what lies between such stretches is not read. */
  async next(): Promise<LedgerEntry[]> {
    if (this.#stream === undefined || this.done) return [];
    const { from, lastCommit } = await this.#stretch(this.#stream, this.#end - 1);
    const reader = new Reader({ ...this.#log, lastCommit });
    const cursor = reader.cursor(new Map([[this.#stream, from]]));
    const found: LedgerEntry[] = [];
    try {
      for (;;) {
        const { slices, gaps } = await cursor.next(READ);
        if (slices.length === 0 && gaps.length === 0) break;
        for (const { value, offset } of slices.flatMap(({ records }) => records)) {
          const gap = offset < this.#end ? parseGap(value) : undefined;
          if (gap?.incarnation === this.#incarnation) found.push(entryOf(gap));
        }
      }
    } finally {
      await cursor.close();
    }
    this.#end = from;
    return found;
  }

  /** What stands between the last checkpoint before `offset` and the next one. */
  async #stretch(stream: StreamId, offset: number): Promise<Stretch> {
    const { lookup, segments, state } = this.#log;
    const first = segments.holding(await lookup.commitBefore(stream, offset));
    if (first === undefined) return { from: offset, lastCommit: state.durableCommit };
    const checkpoints = await lookup.checkpoints(first);
    const isBefore = ({ next }: Checkpoint): boolean => (next[stream] ?? 0) <= offset;
    const before = checkpoints.findLast(isBefore)?.next[stream] ?? 0;
    const after = checkpoints.find((checkpoint) => !isBefore(checkpoint));
    const lastCommit = after?.commit ?? (segments.after(first) ?? Infinity) - 1;
    const from = checkpoints.some(isBefore) ? Math.max(this.#start, before) : offset;
    return { from, lastCommit: Math.min(lastCommit, state.durableCommit) };
  }
}

interface Stretch {
  /** Its first offset. */
  readonly from: number;
  readonly lastCommit: number;
}

function entryOf(json: GapJson): LedgerEntry {
  const { incarnation, topic, records, reason, detail, firstOffset, lastOffset } = json;
  return {
    incarnation,
    topic,
    records,
    reason,
    detail,
    atMs: must(parseIsoTime(json.from), 'it was parsed'),
    untilMs: must(parseIsoTime(json.to), 'it was parsed'),
    partition: json.partition ?? undefined,
    fromOffset: firstOffset ?? undefined,
    toOffset: lastOffset === null ? undefined : lastOffset + 1,
    bytes: json.bytes ?? undefined,
    mirror: json.mirror ?? undefined,
  };
}

export interface RefillOptions extends CursorOptions {
  readonly ledger: Ledger;
  readonly lost: LostSegments;
  readonly clock: Clock;
}

/**
 * The state database was damaged: what the ledger lacks of what was given up before would be told again,
 * as lost by the disk. For at most `forMs`, newest first; what takes longer goes on in the background,
 * before anything is told there. Never rejects.
 */
export async function refillLedger(
  log: RefillOptions,
  incarnation: string,
  forMs: number,
): Promise<void> {
  const { ledger, lost, logger, state, clock } = log;
  const given = gapsGiven(state);
  const lacking = Math.min(ledger.lacks(given), LIMITS.ledgerEntries);
  if (lacking === 0) return;
  const gaps = new GapsBackwards(log, incarnation);
  let missing = lacking;
  const until = clock.monotonicMs() + forMs;
  const refill = async (isOver: () => boolean): Promise<void> => {
    const before = missing;
    const found: LedgerEntry[][] = [];
    while (missing > 0 && !gaps.done && !isOver()) {
      const entries = (await gaps.next()).slice(-missing);
      found.push(entries);
      missing -= entries.length;
    }
    if (missing === before) return;
    await ledger.refill(found.toReversed().flat(), given - lacking + missing);
    logger.warn(
      { event: 'ledger.refilled', entries: before - missing },
      `the loss ledger lacked entries: ${counted(before - missing, 'entry', 'entries')} of it stood in the topic ${GAPS} and are back`,
    );
  };
  try {
    await refill(() => clock.monotonicMs() >= until);
  } catch (error) {
    logger.warn({ error: messageOf(error) }, 'the loss ledger can not be read back');
    return;
  }
  if (missing > 0 && !gaps.done) lost.before(refill);
}
