import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { GAPS, type Loss } from '../loss.ts';
import { streamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import type { CommitLog } from './commit-log.ts';
import type { Engine } from './database.ts';
import {
  blocking,
  chooseDrop,
  shareOf,
  type DropChoice,
  type DropSegment,
  type DropStream,
} from './disk-drop.ts';
import type { DiskUsage } from './disk-usage.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import type { Positions } from './positions.ts';
import type { Retention } from './retention.ts';
import { KnownExtents } from './known-extents.ts';
import { extentBetween } from './segment-extent.ts';
import type { Segments } from './segments.ts';
import { copyStaying, thinBytes, type StayingRange } from './thinning.ts';

export interface DiskSpaceOptions {
  readonly engine: Engine;
  readonly segments: Segments;
  readonly state: LogState;
  readonly lookup: Lookup;
  readonly positions: Positions;
  readonly log: CommitLog;
  readonly retention: Retention;
  readonly usage: DiskUsage;
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

export interface Need {
  /** Also records that no mirror had may go. */
  readonly unmirrored: boolean;
  /** Until none of these have to go any more. */
  readonly missingBytes: number;
  /** By the cap of the folder, and not by the disk. */
  readonly capped: boolean;
}

interface NothingFound {
  readonly choice: undefined;
  readonly freed: Freed;
}

type Found = NothingFound | { readonly choice: DropChoice; readonly freed: undefined };

interface Sight {
  readonly segments: readonly DropSegment[];
  /** Another look would find the same. */
  readonly sure: boolean;
}

/** Gives segments up for space: what they lose is in the ledger in the step that moves the starts. */
export class DiskSpace {
  readonly #options: DiskSpaceOptions;
  /** By segment: for which streams it was thinned, or could not be, last. */
  readonly #thinned = new Map<number, string>();
  #thinnings = 0;
  segmentsDropped = 0;
  recordsDropped = 0;

  readonly #extents: KnownExtents;
  /** What nothing was found in that may go, and what that was because of. */
  #nothing: (NothingFound & { readonly seen: Float64Array }) | undefined;

  constructor(options: DiskSpaceOptions) {
    this.#options = options;
    this.#extents = new KnownExtents(options.segments, options.lookup);
  }

  /** One segment less; before a record goes that no mirror had, what was set aside goes. */
  async freeOne({ unmirrored, capped, missingBytes }: Need): Promise<Freed> {
    const { log, retention, roll, engine } = this.#options;
    const seen = this.#seen(unmirrored);
    const known = this.#nothing;
    const isKnown = known !== undefined && sameNumbers(known.seen, seen);
    const { choice, freed } = isKnown ? known : await this.#look(unmirrored, seen);
    if (unmirrored && (choice === undefined || choice.unmirrored.size > 0)) {
      const bytes = (await engine.aside?.giveBack(missingBytes)) ?? 0;
      if (bytes > 0) return { kind: 'freed', bytes };
    }
    if (choice === undefined) return freed;
    const { first } = choice.segment;
    if (choice.segment.active) {
      await roll();
      // Rolled, it is chosen anew: records came to it meanwhile.
      return log.active === first ? { kind: 'waits' } : { kind: 'freed', bytes: 0 };
    }
    return retention.alone(() => this.#drop(first, unmirrored, capped));
  }

  async #look(unmirrored: boolean, seen: Float64Array): Promise<Found> {
    const { choice, segments, sure } = await this.#choose(unmirrored);
    if (choice !== undefined) return { choice, freed: undefined };
    const inTheWay = unmirrored ? blocking(segments, this.#streams()) : new Set<number>();
    const found: Found = { choice, freed: { kind: 'nothing', blocking: inTheWay } };
    this.#nothing = sure ? { ...found, seen } : undefined;
    return found;
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

  async #choose(unmirrored: boolean): Promise<Sight & { choice: DropChoice | undefined }> {
    const { segments, sure } = await this.#segments();
    const streams = this.#streams();
    const mayThin = (segment: DropSegment, staying: ReadonlySet<number>): boolean =>
      this.#thinned.get(segment.first) !== listed(staying) &&
      shareOf(segment, staying) <= 1 / LIMITS.thinDivisor;
    const choice =
      chooseDrop(segments, streams, 'dead', mayThin) ??
      chooseDrop(segments, streams, 'mirrored', mayThin) ??
      (unmirrored ? chooseDrop(segments, streams, 'unmirrored', mayThin) : undefined);
    return { choice, segments, sure };
  }

  /** Chosen again, now that retention stands still: starts never move back. */
  async #drop(first: number, unmirrored: boolean, capped: boolean): Promise<Freed> {
    const { engine, segments, logger } = this.#options;
    const { choice } = await this.#choose(unmirrored);
    if (choice === undefined || choice.segment.first !== first) return { kind: 'freed', bytes: 0 };
    if (choice.staying.size > 0) return this.#thin(choice, capped);
    const records = await this.#tell(choice, capped);
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

  /** Resolves with how many records leave unmirrored. */
  async #tell(choice: DropChoice, capped: boolean): Promise<number> {
    const { retention, onMoved } = this.#options;
    const losses = this.#losses(choice, capped);
    await retention.moveStarts(choice.starts, losses);
    onMoved();
    const records = losses.reduce((sum, loss) => sum + loss.records, 0);
    this.recordsDropped += records;
    return records;
  }

  /** Nothing is told to be lost before it is sure that space comes of it. */
  async #thin(choice: DropChoice, capped: boolean): Promise<Freed> {
    const { engine, segments, logger, usage } = this.#options;
    const { first } = choice.segment;
    const before = await engine.segmentBytes(first);
    const note = listed(choice.staying);
    if ((await engine.replacedFor?.(first)) === note) {
      this.#noteThinned(choice); // Before this start.
      return { kind: 'freed', bytes: 0 };
    }
    const staying = this.#stayingRanges(choice);
    let records = 0;
    try {
      const outcome = await segments.replace(
        first,
        note,
        (from, to) => copyStaying(from, to, staying, thinBytes(before)),
        async () => {
          records = await this.#tell(choice, capped);
        },
      );
      if (outcome === 'used') return { kind: 'waits' };
      this.#noteThinned(choice);
      if (outcome === 'unwanted') return { kind: 'freed', bytes: 0 };
    } catch (error) {
      this.#noteThinned(choice);
      logger.error({ segment: first, error: messageOf(error) }, 'a segment could not be thinned');
      return { kind: 'freed', bytes: 0 };
    }
    usage.changed(first);
    const bytes = Math.max(0, before - (await engine.segmentBytes(first)));
    logger.warn(
      { event: 'disk.thinned', segment: first, bytes, recordsUnmirrored: records },
      'a segment was given up for space, but for the commits with records that may not go',
    );
    return { kind: 'freed', bytes };
  }

  #noteThinned({ segment, staying }: DropChoice): void {
    const { segments } = this.#options;
    for (const first of this.#thinned.keys()) {
      if (!segments.has(first)) this.#thinned.delete(first);
    }
    this.#thinned.set(segment.first, listed(staying));
    this.#thinnings++;
  }

  #stayingRanges({ segment, staying }: DropChoice): Map<number, StayingRange> {
    const { start } = this.#options.state.heads;
    const ranges = new Map<number, StayingRange>();
    for (let at = 0; at < segment.streams.length; at++) {
      const stream = segment.streams[at] ?? 0;
      if (!staying.has(stream)) continue;
      const from = Math.max(segment.from[at] ?? 0, start[stream] ?? 0);
      ranges.set(stream, { from, to: segment.to[at] ?? 0 });
    }
    return ranges;
  }

  #losses({ starts, unmirrored }: DropChoice, capped: boolean): Loss[] {
    const { state, positions } = this.#options;
    const { start, storedBefore } = state.heads;
    const losses: Loss[] = [];
    for (const [stream, fromOffset] of unmirrored) {
      const topic = state.registry.topicOf(stream);
      const to = starts.get(stream);
      if (topic === undefined || to === undefined || fromOffset >= to.offset) continue;
      const leaving = to.storedBefore - (storedBefore[stream] ?? 0);
      const readers = positions.behind(streamId(stream), to.offset);
      const before =
        readers.length === 0 ? 'and no mirror has them' : `before ${readers.join(', ')} had them`;
      const cause = capped ? 'store.maxBytes was reached' : 'the disk was full';
      const ranges =
        readers.length === 0
          ? [{ from: fromOffset, to: to.offset }]
          : positions.missing(streamId(stream), fromOffset, to.offset);
      for (const range of ranges) {
        const records = range.to - range.from;
        losses.push({
          topic: topic.name,
          partition: topic.streams.indexOf(streamId(stream)),
          fromOffset: range.from,
          toOffset: range.to,
          records,
          bytes: Math.round((leaving * records) / (to.offset - (start[stream] ?? 0))),
          reason: 'disk-full',
          detail: `${cause} ${before}`,
          mirror: undefined,
        });
      }
    }
    return losses;
  }

  /** Oldest first. */
  async #segments(): Promise<Sight> {
    const { lookup, log, state } = this.#options;
    const { active } = log;
    const { extents, sure } = await this.#extents.before(active);
    const segments = Array.from(extents, ([first, extent]): DropSegment => {
      return { ...extent, first, active: false };
    });
    if (log.active !== active || log.activeBytes < LIMITS.segmentBytesMin)
      return { segments, sure };
    const { durable, stored } = state.heads;
    const beginning = await lookup.beginning(active);
    const extent = extentBetween(beginning, { next: durable, stored });
    segments.push({ ...extent, first: active, active: true });
    return { segments, sure: sure && beginning !== undefined };
  }

  /** All that a choice hangs on, but what segments hold. */
  #seen(unmirrored: boolean): Float64Array {
    const { segments, log } = this.#options;
    const isActive = log.activeBytes >= LIMITS.segmentBytesMin;
    const seen = [Number(unmirrored), log.active, Number(isActive), this.#thinnings];
    for (const first of segments.firsts) seen.push(first);
    for (const { start, durable, mirrored = -1, priority, refuses } of this.#streams()) {
      seen.push(start, durable, mirrored, priority, Number(refuses));
    }
    return Float64Array.from(seen);
  }

  #streams(): DropStream[] {
    const { state, positions } = this.#options;
    const { heads, registry } = state;
    return Array.from({ length: registry.streams }, (_, stream) => {
      const topic = registry.topicOf(stream);
      const pinned = positions.pinnedFrom(streamId(stream));
      const isLedger = topic?.name === GAPS;
      return {
        start: heads.start[stream] ?? 0,
        durable: heads.durable[stream] ?? 0,
        // Its records stand in the ledger too: where no reader pins them, they may go as if mirrored.
        mirrored: pinned ?? (isLedger ? Infinity : undefined),
        // Where some reader does: after everything else, only because a log that takes nothing loses more.
        priority: isLedger
          ? LIMITS.topicPriorityMax + 1
          : (topic?.options.priority ?? LIMITS.topicPriority),
        refuses: topic?.options.onFull === 'refuse',
      };
    });
  }
}

function sameNumbers(left: Float64Array, right: Float64Array): boolean {
  return left.length === right.length && left.every((number, at) => number === right[at]);
}

function listed(streams: ReadonlySet<number>): string {
  return [...streams].join(' ');
}
