import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, PositionStore } from '../store/log.ts';
import type { Clock, Timer } from '../time.ts';
import type { MirrorStream } from './upstream.ts';

/** Where a session begins, and what that does to the local positions. */
export interface Resumption {
  readonly positions: ReadonlyMap<StreamId, number>;
  /** Local positions to move ahead. */
  readonly forward: ReadonlyMap<StreamId, number>;
  /** Local positions to move back: by a person's seek, or because the far side has less. */
  readonly backward: ReadonlyMap<StreamId, number>;
  /**
   * Streams whose far side has less than we were told: it lost records, or was restored; or it was
   * never told of a gap that we passed over.
   */
  readonly farBehind: readonly FarBehind[];
}

export interface FarBehind {
  readonly at: MirrorStream;
  readonly local: number;
  readonly far: number;
  /** Where it is sent again from; what lies between `far` and this the log no longer holds. */
  readonly from: number;
}

export interface ResumptionInput {
  readonly streams: readonly MirrorStream[];
  readonly reader: Pick<LogReader, 'range'>;
  readonly local: ReadonlyMap<StreamId, number>;
  readonly far: ReadonlyMap<StreamId, number>;
  /** A person's seeks, which `connect` was given. */
  readonly seek: ReadonlyMap<StreamId, number>;
}

/**
 * Decides between the far side's word and our own. The far side is the truth where it speaks: it
 * moved in one step with the records. A position beyond our durable end cannot be ours: this disk
 * is an older image, or the far side belongs to another log; going on would skip records.
 * Throws UPSTREAM_MISMATCH then.
 */
export function resumeFrom(input: ResumptionInput): Resumption {
  const positions = new Map<StreamId, number>();
  const forward = new Map<StreamId, number>();
  const backward = new Map<StreamId, number>();
  const farBehind: FarBehind[] = [];
  for (const at of input.streams) {
    const { startOffset, endOffset } = input.reader.range(at.stream);
    const local = input.local.get(at.stream);
    const far = input.far.get(at.stream);
    const asked = input.seek.get(at.stream);
    let position = asked ?? far ?? local ?? startOffset;
    if (asked !== undefined) requireSeekTaken(at, asked, far);
    else if (far !== undefined && local !== undefined && far < local) {
      position = Math.max(far, Math.min(local, startOffset));
      farBehind.push({ at, local, far, from: position });
    }
    requireWithinLog(at, position, endOffset, far);
    positions.set(at.stream, position);
    if (local === undefined || position > local) forward.set(at.stream, position);
    else if (position < local) backward.set(at.stream, position);
  }
  return { positions, forward, backward, farBehind };
}

function requireSeekTaken(at: MirrorStream, asked: number, far: number | undefined): void {
  if (far === undefined || far === asked) return;
  throw new GatelogError(
    'UPSTREAM_UNSUPPORTED',
    `${at.topic}/${at.partition}: the far side kept its position ${far} instead of the sought ${asked}`,
  );
}

function requireWithinLog(
  at: MirrorStream,
  position: number,
  endOffset: number,
  far: number | undefined,
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
  #waiting = new Map<StreamId, number>();
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

  note(positions: ReadonlyMap<StreamId, number>): void {
    for (const [stream, offset] of positions) this.#waiting.set(stream, offset);
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
      for (const [stream, offset] of positions) {
        if (!this.#waiting.has(stream)) this.#waiting.set(stream, offset);
      }
      throw error;
    }
  }
}

function ignore(): void {
  // The one who asked for that write was told.
}
