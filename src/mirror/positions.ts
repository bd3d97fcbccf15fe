import {
  type Coverage,
  type Coverages,
  covers,
  sameCoverage,
  topOf,
  upTo,
  without,
  withRange,
} from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, PositionStore } from '../store/log.ts';
import type { Clock, Timer } from '../time.ts';
import type { MirrorStream } from './upstream.ts';

/** Where a session begins, and what that does to the local positions. */
export interface Resumption {
  readonly positions: Coverages;
  /** Local positions to move ahead. */
  readonly forward: Coverages;
  /** Local positions to move back: by a person's seek, or because the far side has less. */
  readonly backward: Coverages;
  /**
   * Streams whose far side has less than we were told: it lost records, or was restored; or it was
   * never told of a gap that we passed over.
   */
  readonly farBehind: readonly FarBehind[];
  /** What the far side had of the streams that a person sought, before; it may be more than we knew. */
  readonly sought: Coverages;
}

export interface FarBehind {
  readonly at: MirrorStream;
  readonly local: Coverage;
  readonly far: Coverage;
  /** What it has not of what we were told, and the log still holds: it is sent again. */
  readonly again: readonly OffsetRange[];
  /** The rest of that, which the log no longer holds. */
  readonly lost: readonly OffsetRange[];
}

export interface ResumptionInput {
  readonly streams: readonly MirrorStream[];
  readonly reader: Pick<LogReader, 'range'>;
  readonly local: Coverages;
  readonly far: Coverages;
  /** A person's seeks, which `connect` was given. */
  readonly seek: ReadonlyMap<StreamId, number>;
  readonly sought?: Coverages;
}

/**
 * Decides between the far side's word and our own. The far side is the truth where it speaks: it
 * moved in one step with the records. A position beyond our durable end cannot be ours: this disk
 * is an older image, or the far side belongs to another log; going on would skip records.
 * Throws UPSTREAM_MISMATCH then.
 */
export function resumeFrom(input: ResumptionInput): Resumption {
  const positions = new Map<StreamId, Coverage>();
  const forward = new Map<StreamId, Coverage>();
  const backward = new Map<StreamId, Coverage>();
  const farBehind: FarBehind[] = [];
  for (const at of input.streams) {
    const { startOffset, endOffset } = input.reader.range(at.stream);
    const local = input.local.get(at.stream);
    const far = input.far.get(at.stream);
    const asked = input.seek.get(at.stream);
    let position = asked === undefined ? (far ?? local ?? upTo(startOffset)) : upTo(asked);
    if (asked !== undefined) requireSeekTaken(at, asked, far);
    else if (far !== undefined && local !== undefined && !covers(far, local)) {
      const behind = behindBy(at, local, far, startOffset);
      position = behind.lost.reduce((had, { from, to }) => withRange(had, from, to), far);
      farBehind.push(behind);
    }
    requireWithinLog(at, topOf(position), endOffset, far);
    positions.set(at.stream, position);
    if (local === undefined || !covers(local, position)) {
      if (local === undefined || covers(position, local)) forward.set(at.stream, position);
      else backward.set(at.stream, position);
    } else if (!covers(position, local)) backward.set(at.stream, position);
  }
  const { sought = new Map<StreamId, Coverage>() } = input;
  return { positions, forward, backward, farBehind, sought };
}

function behindBy(
  at: MirrorStream,
  local: Coverage,
  far: Coverage,
  startOffset: number,
): FarBehind {
  const missing = without(local, far);
  const lost = missing.map(({ from, to }) => ({ from, to: Math.min(to, startOffset) }));
  const again = missing.map(({ from, to }) => ({ from: Math.max(from, startOffset), to }));
  return { at, local, far, lost: lost.filter(isSome), again: again.filter(isSome) };
}

function isSome({ from, to }: OffsetRange): boolean {
  return from < to;
}

function requireSeekTaken(at: MirrorStream, asked: number, far: Coverage | undefined): void {
  if (far === undefined || sameCoverage(far, upTo(asked))) return;
  throw new GatelogError(
    'UPSTREAM_UNSUPPORTED',
    `${at.topic}/${at.partition}: the far side kept its position ${far.next} instead of the sought ${asked}`,
  );
}

function requireWithinLog(
  at: MirrorStream,
  position: number,
  endOffset: number,
  far: Coverage | undefined,
): void {
  if (position <= endOffset) return;
  const whose = far === undefined ? 'the stored position' : "the far side's position";
  throw new GatelogError(
    'UPSTREAM_MISMATCH',
    `${at.topic}/${at.partition}: ${whose} is ${position}, but this log ends at ${endOffset}: ` +
      `the data folder is an older copy, or lost its end, or the far side belongs to another log. ` +
      `Going on would skip records. Restore the right folder, or seek this mirror to where it shall go on.`,
  );
}

/**
 * Writes positions behind the receipts: one write at a time, not more often than every
 * LIMITS.positionEveryMs, always the newest. Never ahead of what it was told.
 */
export class PositionSaver {
  readonly #store: PositionStore;
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #onFailure: (error: unknown) => void;
  #waiting = new Map<StreamId, Coverage>();
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    store: PositionStore,
    clock: Clock,
    onFailure: (error: unknown) => void,
    everyMs: number = LIMITS.positionEveryMs,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#onFailure = onFailure;
    this.#everyMs = everyMs;
  }

  note(positions: Coverages): void {
    for (const [stream, had] of positions) this.#waiting.set(stream, had);
    if (this.#timer !== undefined) return;
    const dueMs = this.#lastMs + this.#everyMs - this.#clock.monotonicMs();
    this.#timer = this.#clock.after(Math.max(0, dueMs), () => {
      this.flush().catch(this.#onFailure);
    });
  }

  /** Durable when resolved: everything noted before the call. Rejects if it could not be stored. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#saving = this.#saving.catch(ignore).then(() => this.#save());
    return this.#saving;
  }

  /** Forgets what waits: the caller is about to set other positions. */
  async discard(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting.clear();
    await this.#saving.catch(ignore);
  }

  async #save(): Promise<void> {
    if (this.#waiting.size === 0) return;
    const positions = this.#waiting;
    this.#waiting = new Map();
    this.#lastMs = this.#clock.monotonicMs();
    try {
      await this.#store.advance(positions);
    } catch (error) {
      for (const [stream, had] of positions) {
        if (!this.#waiting.has(stream)) this.#waiting.set(stream, had);
      }
      throw error;
    }
  }
}

function ignore(): void {
  // The one who asked for that write was told.
}
