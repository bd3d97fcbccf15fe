import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { MIRROR_LIMITS } from '../mirror-limits.ts';
import type { Logger } from '../telemetry.ts';
import { formatSize } from '../units.ts';
import type { MirrorBatch } from './mirror-cursor.ts';
import { type Followed, PacedSize } from './paced-size.ts';
import type { Owed } from './pump.ts';
import type { Batching, LinkPace } from './upstream.ts';

const DEFAULT: Batching = {
  maxRecords: LIMITS.mirrorBatchRecords,
  maxBytes: LIMITS.mirrorBatchBytes,
  maxWaitMs: 0,
};

export interface BatchSizeOptions {
  readonly name: string;
  readonly logger: Logger;
  /** Something may have to overtake what waits: little of it is to be under way. */
  readonly isPrompt: boolean;
  /** All batches under way, where their number follows the link; default MIRROR_LIMITS.underWayBytes. */
  readonly underWayBytes?: number | undefined;
}

/**
 * The bounds of the next batch. A link may be too slow to carry a batch of the configured size
 * within the time-outs, or break too often; the same batch again would fail again, for ever. So a
 * batch that did not get through halves the size, and those that do double it again. A size that
 * fails as soon as it was grown into waits for twice as many successes below it, so that a link
 * which never carries it loses little to trying.
 *
 * Where the far side's receipts tell how long the link was busy with a batch, size and number follow
 * them below that bound: paced-size.ts.
 */
export class BatchSize implements Batching {
  readonly maxRecords: number;
  readonly maxWaitMs: number;
  readonly #configured: number;
  readonly #smallest: number;
  readonly #name: string;
  readonly #logger: Logger;
  readonly #isPrompt: boolean;
  readonly #underWayBytes: number | undefined;
  #bytes: number;
  /** The size was grown into, and nothing of it got through yet. */
  #isTrial = false;
  /** Batches of this size that got through, and how many it takes to grow. */
  #carried = 0;
  #wanted = 1;
  #isReduced = false;
  /** Of full batches that an earlier session carried; 0: not known. */
  #learntBytes = 0;
  /** By the link's pace, where that is told. */
  #paced: PacedSize | undefined;

  constructor(
    configured: Partial<Batching>,
    { name, logger, isPrompt, underWayBytes }: BatchSizeOptions,
  ) {
    const { maxRecords, maxBytes, maxWaitMs } = { ...DEFAULT, ...configured };
    this.maxRecords = maxRecords;
    this.maxWaitMs = maxWaitMs;
    this.#configured = maxBytes;
    this.#smallest = Math.min(maxBytes, LIMITS.mirrorBatchBytesMin);
    this.#bytes = maxBytes;
    this.#name = name;
    this.#isPrompt = isPrompt;
    this.#underWayBytes = underWayBytes;
    this.#logger = logger;
  }

  get maxBytes(): number {
    return Math.min(this.#bytes, this.#paced?.bytes ?? this.#bytes);
  }

  /** Batches sent and not settled, at most. */
  get window(): number {
    return this.#paced?.window ?? LIMITS.mirrorWindow;
  }

  /**
   * A session begins whose receipts tell the link's pace. What an earlier one measured is old: it
   * begins well below that, and with little where nothing of it got through.
   */
  begin(): void {
    const { startBytes, startPromptBytes, startShare } = MIRROR_LIMITS;
    const leastBytes = this.#isPrompt ? startPromptBytes : startBytes;
    this.#learntBytes = this.#paced?.carriedBytes ?? this.#learntBytes;
    this.#paced = new PacedSize({
      startBytes: Math.max(leastBytes, Math.floor(this.#learntBytes * startShare)),
      smallest: this.#smallest,
      largest: () => this.#bytes,
      isPrompt: this.#isPrompt,
      underWayBytes: this.#underWayBytes,
    });
  }

  /**
   * A batch got through. One that is small for want of records tells nothing of the link. Full it
   * is from half of a bound on: a batch ends before a commit that does not fit any more.
   */
  settled({ records, bytes }: MirrorBatch): void {
    if (!this.#isReduced) return;
    if (bytes * 2 <= this.#bytes && records * 2 <= this.maxRecords) return;
    if (this.#isTrial) this.#wanted = 1;
    this.#isTrial = false;
    if (this.#bytes === this.#configured) this.#restored();
    else if (++this.#carried >= this.#wanted) this.#resize(this.#bytes * 2, true);
  }

  /** The link took a batch at this pace. */
  follow(pace: LinkPace, followed: Followed): void {
    this.#paced?.follow(pace, followed);
  }

  /**
   * The far side failed while it owed an answer. Only a failure by time counts (nothing came, or
   * the link broke under way): one that comes at once has other reasons than the batch's size.
   */
  undelivered(error: unknown, { bytes, forMs }: Owed): void {
    if (forMs < LIMITS.mirrorSlowMs || !isByTime(error)) return;
    if (this.#paced?.carriedBytes === undefined) this.#learntBytes = 0;
    const tried = Math.min(bytes, this.#bytes);
    if (tried <= this.#smallest) return;
    // One that was sent before the size was grown into says nothing of the trial.
    if (this.#isTrial && bytes * 2 > this.#bytes)
      this.#wanted = Math.min(this.#wanted * 2, LIMITS.mirrorGrowAfter);
    this.#resize(Math.max(Math.floor(tried / 2), this.#smallest), false);
    if (!this.#isReduced) this.#say('warn', `until larger ones get through: ${messageOf(error)}`);
    this.#isReduced = true;
  }

  #resize(bytes: number, isTrial: boolean): void {
    this.#bytes = Math.min(bytes, this.#configured);
    this.#isTrial = isTrial;
    this.#carried = 0;
  }

  #restored(): void {
    this.#isReduced = false;
    this.#say('info', 'again, as configured');
  }

  #say(level: 'warn' | 'info', why: string): void {
    const [maxBytes, configured] = [this.#bytes, this.#configured];
    const instead = maxBytes === configured ? '' : ` instead of ${formatSize(configured)}`;
    this.#logger[level](
      { event: 'mirror.batch-size', mirror: this.#name, maxBytes, configured },
      `mirror ${this.#name}: batches of at most ${formatSize(maxBytes)}${instead} ${why}`,
    );
  }
}

function isByTime(error: unknown): boolean {
  if (!(error instanceof GatelogError)) return false;
  return error.code === 'UPSTREAM_UNREACHABLE' || error.code === 'UPSTREAM_UNCERTAIN';
}
