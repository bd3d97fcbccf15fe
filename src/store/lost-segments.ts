import { messageOf } from '../errors.ts';
import type { Loss } from '../loss.ts';
import { streamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import type { HeldRange } from './aside-note.ts';
import type { Catalog } from './catalog.ts';
import { readHead } from './commit-head.ts';
import { CommitWalk } from './commit-walk.ts';
import type { DamageReport } from './damage-report.ts';
import { isDamage, isUnsteady } from './damage.ts';
import type { LossLedger, ReadGap } from './log.ts';
import type { Hole, LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import { readEnd } from './recovery.ts';
import type { Segments } from './segments.ts';

export interface LostSegmentsOptions {
  readonly segments: Segments;
  readonly lookup: Lookup;
  readonly state: LogState;
  readonly ledger: LossLedger;
  readonly catalog: Catalog;
  readonly report: DamageReport;
  readonly logger: Logger;
}

/**
 * Segments that are gone or can't be opened: what they held is worked out from what stands before
 * and after them, and told to the loss ledger. Readers find the gap by themselves.
 */
export class LostSegments {
  readonly #options: LostSegmentsOptions;
  #telling: Promise<void> = Promise.resolve();
  #isEnding = false;

  constructor(options: LostSegmentsOptions) {
    this.#options = options;
  }

  /** In the background, one after the other: each opens the segments beside it. Never rejects. */
  missing(firsts: readonly number[]): void {
    for (const first of firsts) {
      this.#later(first, async () => {
        await this.#tell(first, 'it is missing, or could not be read', undefined);
        await this.#options.catalog.removed(first);
      });
    }
  }

  /** One that turned out to be unopenable while the store runs. Never rejects. */
  unopenable(first: number, error: unknown): void {
    const why = messageOf(error);
    this.#later(first, async () => {
      const { segments, catalog } = this.#options;
      const aside = await segments.setAside(first, { why, commits: [first, this.#after(first)] });
      if (segments.has(first)) return; // In use: whoever meets it next sets it aside.
      await this.#tell(first, why, aside);
      await catalog.removed(first);
    });
  }

  /** What a reader could not read; after what is said of lost segments. Never rejects. */
  damaged(gaps: readonly ReadGap[]): Promise<void> {
    const { state, report } = this.#options;
    const losses = lossesOf(gaps, state, 'a part of the log can not be read');
    this.#later(undefined, () => report.tell(losses, 'reader'));
    return this.#telling;
  }

  /** Before anything that is told from now on; `isEnding`: somebody waits for the end. Never rejects. */
  before(task: (isEnding: () => boolean) => Promise<void>): void {
    this.#later(undefined, () => task(() => this.#isEnding));
  }

  /** Nothing more is told after it. Resolves when nothing is being worked out any more. */
  settled(): Promise<void> {
    this.#isEnding = true;
    return this.#telling;
  }

  #later(first: number | undefined, task: () => Promise<void>): void {
    this.#telling = this.#telling.then(task).catch((error: unknown) => {
      this.#options.logger.error(
        { event: 'store.untold', segment: first, error: messageOf(error) },
        'what was lost could not be told to the loss ledger',
      );
    });
  }

  #after(first: number): number | undefined {
    return this.#options.segments.after(first);
  }

  async #tell(first: number, why: string, aside: string | undefined): Promise<void> {
    const { segments, state, ledger, report, logger } = this.#options;
    const holes = await this.#holes(first);
    const detail = `the segment of the log that begins with commit ${first} was lost: ${why}`;
    const losses = await report.sized(lossesOf(holes, state, detail));
    logger.error({ event: 'store.segment-lost', segment: first, losses, aside }, detail);
    await ledger.record(losses);
    if (aside !== undefined) await segments.annotate(aside, { held: heldOf(losses) });
  }

  /** Between the end of what stands before it and the beginning of what stands after it. */
  async #holes(first: number): Promise<Hole[]> {
    const { lookup, state } = this.#options;
    const { start, durable } = state.heads;
    const from = await this.#endBefore(first);
    const end = await lookup.endOf(first);
    const readable = await this.#readableAfter(first, end?.commit ?? state.durableCommit);
    const holes: Hole[] = [];
    for (let stream = 0; stream < state.registry.streams; stream++) {
      const fromOffset = Math.max(from[stream] ?? 0, start[stream] ?? 0);
      const before = (end === undefined ? durable[stream] : end.next[stream]) ?? 0;
      const toOffset = Math.min(before, readable.get(stream) ?? before);
      if (toOffset > fromOffset) holes.push({ stream, fromOffset, toOffset });
    }
    return holes;
  }

  /**
   * By stream the first offset that can be read in the commits after the segment up to `last`: where
   * what follows does not tell how it begins. Else nothing.
   */
  async #readableAfter(first: number, last: number): Promise<ReadonlyMap<number, number>> {
    const { segments, lookup, state, logger } = this.#options;
    const offsets = new Map<number, number>();
    const next = segments.after(first);
    if (next === undefined || (await lookup.beginning(next)) !== undefined) return offsets;
    const walk = new CommitWalk({ segments, logger });
    walk.startAt(next);
    await walk.to(last, (frame) => {
      const head = readHead(frame.head);
      if (head === undefined || !state.mayHold(head)) return true;
      for (const { stream, baseOffset } of head.runs) {
        if (!offsets.has(stream)) offsets.set(stream, baseOffset);
      }
      return true;
    });
    return offsets;
  }

  async #endBefore(first: number): Promise<readonly number[]> {
    const { segments } = this.#options;
    for (const before of segments.firsts.filter((other) => other < first).toReversed()) {
      try {
        const end = await segments.using(before, async (database) => {
          await segments.examineWhole(before);
          return readEnd(database);
        });
        if (end !== undefined) return end;
      } catch (error) {
        if (!isDamage(error) && !isUnsteady(error) && segments.has(before)) throw error;
      }
    }
    return [];
  }
}

export function lossesOf(holes: readonly Hole[], state: LogState, detail: string): Loss[] {
  return holes.flatMap(({ stream, fromOffset, toOffset }) => {
    const topic = state.registry.topicOf(stream);
    if (topic === undefined || toOffset <= fromOffset) return [];
    const partition = topic.streams.indexOf(streamId(stream));
    const records = toOffset - fromOffset;
    const where = { topic: topic.name, partition, fromOffset, toOffset };
    const lost = { records, bytes: undefined, reason: 'corruption', mirror: undefined } as const;
    return [{ ...where, ...lost, detail }];
  });
}

export function heldOf(losses: readonly Loss[]): HeldRange[] {
  return losses.flatMap(({ topic, partition, fromOffset, toOffset }) =>
    partition === undefined || fromOffset === undefined || toOffset === undefined
      ? []
      : [{ topic, partition, fromOffset, toOffset }],
  );
}
