import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { MIRROR_LIMITS } from '../mirror-limits.ts';
import type { Logger } from '../telemetry.ts';
import { formatSize } from '../units.ts';
import type { MirrorBatch } from './mirror-cursor.ts';
import type { Owed } from './pump.ts';
import type { Batching, LinkPace } from './upstream.ts';

const DEFAULT: Batching = {
  maxRecords: LIMITS.mirrorBatchRecords,
  maxBytes: LIMITS.mirrorBatchBytes,
  maxWaitMs: 0,
};

/**
 * The bounds of the next batch. A link may be too slow to carry a batch of the configured size
 * within the time-outs, or break too often; the same batch again would fail again, for ever. So a
 * batch that did not get through halves the size, and those that do double it again. A size that
 * fails as soon as it was grown into waits for twice as many successes below it, so that a link
 * which never carries it loses little to trying.
 *
 * Where the far side's receipts tell how long the link was busy with a batch, a session begins with
 * small ones, and they grow until one keeps the link busy for a while (MIRROR_LIMITS.carryMs): what
 * comes later waits no longer than that, and a broken link loses no more. So many travel at once as it
 * takes to keep the link busy; one where there is no backlog, so that what comes meanwhile gathers.
 */
export class BatchSize implements Batching {
  readonly maxRecords: number;
  readonly maxWaitMs: number;
  readonly #configured: number;
  readonly #smallest: number;
  readonly #name: string;
  readonly #logger: Logger;
  #bytes: number;
  /** The size was grown into, and nothing of it got through yet. */
  #isTrial = false;
  /** Batches of this size that got through, and how many it takes to grow. */
  #carried = 0;
  #wanted = 1;
  #isReduced = false;
  /** By the link's pace; no bound where that is not told. */
  #paced = Number.POSITIVE_INFINITY;
  #window: number = LIMITS.mirrorWindow;
  #recent = new Recent();

  constructor(
    configured: Partial<Batching>,
    { name, logger }: { readonly name: string; readonly logger: Logger },
  ) {
    const { maxRecords, maxBytes, maxWaitMs } = { ...DEFAULT, ...configured };
    this.maxRecords = maxRecords;
    this.maxWaitMs = maxWaitMs;
    this.#configured = maxBytes;
    this.#smallest = Math.min(maxBytes, LIMITS.mirrorBatchBytesMin);
    this.#bytes = maxBytes;
    this.#name = name;
    this.#logger = logger;
  }

  get maxBytes(): number {
    return Math.min(this.#bytes, this.#paced);
  }

  /** Batches sent and not settled, at most. */
  get window(): number {
    return this.#window;
  }

  /** A session begins whose receipts tell the link's pace: what an earlier one measured is old. */
  begin(): void {
    this.#paced = MIRROR_LIMITS.startBytes;
    this.#window = LIMITS.mirrorWindow;
    this.#recent = new Recent();
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
  follow(
    { leastMs, mostMs, idleMs }: LinkPace,
    {
      batch: { bytes, isBeside = false },
      isFull,
    }: { readonly batch: MirrorBatch; readonly isFull: boolean },
  ): void {
    const { carryMs, growth, growthMaybe, shortIdleMs, window } = MIRROR_LIMITS;
    // Without a backlog: what comes while one is under way goes together, and small ones tell little.
    if (!isFull) {
      if (!isBeside) this.#window = 1;
      if (leastMs <= carryMs * 1.5) return;
    }
    this.#recent.add(leastMs, mostMs, bytes);
    // One alone is late for many reasons, but not by that much.
    if (leastMs > carryMs * 2.5) this.#recent = new Recent(leastMs, mostMs, bytes);
    if (this.#recent.leastMs(this.maxBytes) > carryMs * 1.5) {
      const fitting = this.maxBytes * (carryMs / this.#recent.leastMs(this.maxBytes));
      this.#paced = Math.max(Math.floor(fitting), this.#smallest);
    }
    if (!isFull) return;
    // One that was read before the size last grew says nothing of the size.
    if (bytes * 2 > this.#paced && this.#recent.leastMs(this.maxBytes) < carryMs * 0.75) {
      const mostEach = this.#recent.mostMs(this.maxBytes);
      const isSure = mostEach < carryMs * 0.75;
      const factor = isSure ? Math.min(carryMs / mostEach, growth) : growthMaybe;
      this.#paced = Math.min(Math.ceil(this.#paced * factor), this.#configured);
    }
    const eachMs = this.#recent.leastMs(this.maxBytes);
    const needed = Math.ceil((idleMs + eachMs) / eachMs) + 1;
    const wanted = idleMs < shortIdleMs ? LIMITS.mirrorWindow + 1 : Math.min(needed, window);
    const { underWayMs, underWayBytes } = MIRROR_LIMITS;
    const bearable = Math.floor(Math.min(underWayMs / eachMs, underWayBytes / this.maxBytes));
    this.#window = Math.min(wanted, Math.max(bearable, LIMITS.mirrorWindow), this.#window + 1);
  }

  /**
   * The far side failed while it owed an answer. Only a failure by time counts (nothing came, or
   * the link broke under way): one that comes at once has other reasons than the batch's size.
   */
  undelivered(error: unknown, { bytes, forMs }: Owed): void {
    if (forMs < LIMITS.mirrorSlowMs || !isByTime(error)) return;
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

/** What the last few batches took together: the answers to two may come at once, late by a loss before. */
class Recent {
  #leastMs: number;
  #mostMs: number;
  #bytes: number;

  constructor(leastMs = 0, mostMs = 0, bytes = 0) {
    this.#leastMs = leastMs;
    this.#mostMs = mostMs;
    this.#bytes = bytes;
  }

  add(leastMs: number, mostMs: number, bytes: number): void {
    const { paceMemory } = MIRROR_LIMITS;
    this.#leastMs = this.#leastMs * paceMemory + leastMs;
    this.#mostMs = this.#mostMs * paceMemory + mostMs;
    this.#bytes = this.#bytes * paceMemory + bytes;
  }

  /** For so many bytes as read; at least 1 ms. */
  leastMs(bytes: number): number {
    return Math.max((this.#leastMs / this.#bytes) * bytes, 1);
  }

  mostMs(bytes: number): number {
    return Math.max((this.#mostMs / this.#bytes) * bytes, 1);
  }
}

function isByTime(error: unknown): boolean {
  if (!(error instanceof GatelogError)) return false;
  return error.code === 'UPSTREAM_UNREACHABLE' || error.code === 'UPSTREAM_UNCERTAIN';
}
