import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Loss } from '../loss.ts';
import { streamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import type { CommitLog } from './commit-log.ts';
import type { Engine } from './database.ts';
import {
  blocking,
  chooseDrop,
  type DropChoice,
  type DropSegment,
  type DropStream,
} from './disk-drop.ts';
import { GAPS } from './ledger-outlet.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import type { Positions } from './positions.ts';
import type { Retention } from './retention.ts';
import type { Segments } from './segments.ts';

export interface DiskSpaceOptions {
  readonly engine: Engine;
  readonly segments: Segments;
  readonly state: LogState;
  readonly lookup: Lookup;
  readonly positions: Positions;
  readonly log: CommitLog;
  readonly retention: Retention;
  /** Begins a new segment, so that the one being written can be given up. */
  readonly roll: () => Promise<void>;
  readonly logger: Logger;
  /** Starts moved: a reader before them has a gap to be told. */
  readonly onMoved: () => void;
}

/** `waits`: a reader has the segment open; `nothing`: what may go would free no segment. */
export type Freed =
  | { readonly kind: 'freed'; readonly bytes: number }
  | { readonly kind: 'waits' }
  | { readonly kind: 'nothing'; readonly blocking: ReadonlySet<number> };

/** Gives segments up for space: what they lose is in the ledger in the step that moves the starts. */
export class DiskSpace {
  readonly #options: DiskSpaceOptions;
  segmentsDropped = 0;
  recordsDropped = 0;

  constructor(options: DiskSpaceOptions) {
    this.#options = options;
  }

  /** One segment less. `unmirrored`: also records that no mirror had. */
  async freeOne(unmirrored: boolean, capped: boolean): Promise<Freed> {
    const { log, retention, roll } = this.#options;
    const choice = await this.#choose(unmirrored);
    if (choice === undefined)
      return { kind: 'nothing', blocking: await this.#blocking(unmirrored) };
    const { first } = choice.segment;
    if (choice.segment.active) {
      await roll();
      // Rolled, it is chosen anew: records came to it meanwhile.
      return log.active === first ? { kind: 'waits' } : { kind: 'freed', bytes: 0 };
    }
    return retention.alone(() => this.#drop(first, unmirrored, capped));
  }

  refusals(streams: Iterable<number>): Map<number, GatelogError> {
    const { registry } = this.#options.state;
    const refusals = new Map<number, GatelogError>();
    for (const stream of streams) {
      const topic = registry.topicOf(stream);
      if (topic === undefined) continue;
      const error = new GatelogError(
        'STORE_FULL',
        `topic ${topic.name} may not lose what no mirror had (onFull: refuse), and there is no ` +
          `other room to make: free space, or let a mirror catch up`,
      );
      for (const own of topic.streams) refusals.set(own, error);
    }
    return refusals;
  }

  topicsOf(streams: Iterable<number>): string[] {
    const { registry } = this.#options.state;
    return [...new Set([...streams].map((stream) => registry.topicOf(stream)?.name ?? ''))];
  }

  async #choose(unmirrored: boolean): Promise<DropChoice | undefined> {
    const segments = await this.#segments();
    const streams = this.#streams();
    return (
      chooseDrop(segments, streams, 'dead') ??
      chooseDrop(segments, streams, 'mirrored') ??
      (unmirrored ? chooseDrop(segments, streams, 'unmirrored') : undefined)
    );
  }

  async #blocking(unmirrored: boolean): Promise<ReadonlySet<number>> {
    return unmirrored ? blocking(await this.#segments(), this.#streams()) : new Set();
  }

  /** Chosen again, now that retention stands still: starts never move back. */
  async #drop(first: number, unmirrored: boolean, capped: boolean): Promise<Freed> {
    const { engine, segments, logger, onMoved, retention } = this.#options;
    const choice = await this.#choose(unmirrored);
    if (choice === undefined || choice.segment.first !== first) return { kind: 'freed', bytes: 0 };
    const losses = this.#losses(choice, capped);
    await retention.moveStarts(choice.starts, losses);
    onMoved();
    const records = losses.reduce((sum, loss) => sum + loss.records, 0);
    this.recordsDropped += records;
    const bytes = await engine.segmentBytes(first);
    try {
      if (!(await segments.remove(first))) return { kind: 'waits' };
    } catch (error) {
      logger.error({ segment: first, error: messageOf(error) }, 'a segment could not be removed');
      return { kind: 'waits' };
    }
    this.segmentsDropped++;
    logger.warn(
      { event: 'disk.dropped', segment: first, bytes, recordsUnmirrored: records },
      'a segment was given up for space',
    );
    return { kind: 'freed', bytes };
  }

  #losses({ starts, unmirrored }: DropChoice, capped: boolean): Loss[] {
    const { state, positions } = this.#options;
    const { start, storedBefore } = state.heads;
    const losses: Loss[] = [];
    for (const [stream, fromOffset] of unmirrored) {
      const topic = state.registry.topicOf(stream);
      const to = starts.get(stream);
      if (topic === undefined || to === undefined || fromOffset >= to.offset) continue;
      const records = to.offset - fromOffset;
      const leaving = to.storedBefore - (storedBefore[stream] ?? 0);
      const readers = positions.behind(streamId(stream), to.offset);
      const before =
        readers.length === 0 ? 'and no mirror has them' : `before ${readers.join(', ')} had them`;
      const cause = capped ? 'store.maxBytes was reached' : 'the disk was full';
      losses.push({
        topic: topic.name,
        partition: topic.streams.indexOf(streamId(stream)),
        fromOffset,
        toOffset: to.offset,
        records,
        bytes: Math.round((leaving * records) / (to.offset - (start[stream] ?? 0))),
        reason: 'disk-full',
        detail: `${cause} ${before}`,
        mirror: undefined,
      });
    }
    return losses;
  }

  /** Oldest first. One whose end can't be read is left out. */
  async #segments(): Promise<DropSegment[]> {
    const { segments, lookup, log, state } = this.#options;
    const found: DropSegment[] = [];
    for (const first of segments.firsts) {
      if (first > log.active) break; // Made ahead, and empty.
      const from = (await lookup.beginning(first))?.next ?? [];
      if (first === log.active) {
        if (log.activeBytes < LIMITS.segmentBytesMin) break;
        const { durable, stored } = state.heads;
        found.push({ first, from, to: [...durable], stored: [...stored], active: true });
        break;
      }
      const end = await lookup.endOf(first);
      if (end === undefined) continue;
      found.push({ first, from, to: end.next, stored: end.stored, active: false });
    }
    return found;
  }

  #streams(): DropStream[] {
    const { state, positions } = this.#options;
    const { heads, registry } = state;
    return Array.from({ length: registry.streams }, (_, stream) => {
      const topic = registry.topicOf(stream);
      const pinned = positions.pinnedFrom(streamId(stream));
      return {
        start: heads.start[stream] ?? 0,
        durable: heads.durable[stream] ?? 0,
        // Its records stand in the ledger too: where no reader pins them, they may go as if mirrored.
        mirrored: pinned ?? (topic?.name === GAPS ? Infinity : undefined),
        priority: topic?.options.priority ?? LIMITS.topicPriority,
        refuses: topic?.options.onFull === 'refuse',
      };
    });
  }
}
