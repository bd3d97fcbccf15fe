import { LIMITS } from '../limits.ts';
import { MIRROR_LIMITS } from '../mirror-limits.ts';
import { Bearable } from './bearable.ts';
import type { MirrorBatch } from './mirror-cursor.ts';
import type { LinkPace } from './upstream.ts';

/** As a logarithm: what changed by less says nothing. */
const LEAST_CHANGE = Math.log(MIRROR_LIMITS.leastChange) / 2;

/** What went over the link in a stretch with batches of one size: bytes as read. */
interface Measured {
  readonly size: number;
  /** Of as many batches as travelled at once, as large as they really were. */
  readonly underWay: number;
  readonly bytesPerMs: number;
}

export interface PacedSizeOptions {
  readonly smallest: number;
  /** May change. */
  readonly largest: () => number;
  /** Something may have to overtake what waits: little of it is to be under way. */
  readonly isPrompt: boolean;
  /** Of the first batches. */
  readonly startBytes?: number;
  /** Default MIRROR_LIMITS.underWayBytes. */
  readonly underWayBytes?: number | undefined;
}

export interface Followed {
  readonly batch: MirrorBatch;
  /** There was more behind it when it was read. */
  readonly isFull: boolean;
}

/**
 * How large the batches of a session are, and how many travel at once, by what the far side's
 * receipts tell of the link.
 *
 * The first batches are small. As long as they keep the link busy for less than
 * MIRROR_LIMITS.carryMs, they grow at once, with few under way, so that those of the next size come
 * soon. Beyond that what a batch took says little: loss makes it late, a busy broker answers late, and
 * several travel at once. So sizes are tried: what goes over the link in a stretch with one size is
 * held against the stretch before, and the most that lately did is taken for what the link carries,
 * for each stretch has its own losses. Where a larger size carries
 * much more, the link was waiting for us and not we for it, and a larger one still is tried; where it
 * does not, the link is full, and the right size is what it carries in carryMs: what comes later waits
 * no longer than that, and a broken link loses no more. In the same way a smaller size that carries
 * less is given up again: batches that are late whatever their size do not become ever smaller.
 *
 * So many travel at once as it takes to keep the link busy, and as are not under way for too long
 * (bearable.ts); one where there is no backlog, so that what comes meanwhile gathers.
 */
export class PacedSize {
  readonly #options: PacedSizeOptions;
  #bytes: number;
  #carriedBytes: number | undefined;
  #window: number = LIMITS.mirrorWindow;
  #recent = new Recent();
  #carryMs: number = MIRROR_LIMITS.carryMs;
  /** The size grows at once: nothing was measured yet. */
  #isStarting = true;
  readonly #bearable = new Bearable();
  #stretch = new Stretch(0);
  /** What went over the link in the last stretch. */
  #bytesPerMs = Number.POSITIVE_INFINITY;
  /** The most that lately did: what a link may carry that is not filled yet. */
  #bestBytesPerMs = 0;
  /** Before the last change of size. */
  #before: Measured | undefined;
  /** What the last change of size told; undefined: nothing yet. */
  #isLinkFull: boolean | undefined;
  /** Stretches until another size is tried in vain again, and how many it was the last time. */
  readonly #larger = new Patience();
  readonly #smaller = new Patience();

  constructor(options: PacedSizeOptions) {
    this.#options = options;
    this.#bytes = Math.min(options.startBytes ?? MIRROR_LIMITS.startBytes, options.largest());
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Of the last batch that was full; undefined: none was. */
  get carriedBytes(): number | undefined {
    return this.#carriedBytes;
  }

  /** Batches sent and not settled, at most. */
  get window(): number {
    return this.#window;
  }

  /** The link took a batch at this pace. In the order in which they were sent. */
  follow(pace: LinkPace, { batch: { bytes }, isFull }: Followed): void {
    if (!isFull) {
      this.#followSmall(pace, bytes);
      return;
    }
    this.#carriedBytes = bytes;
    this.#recent.add(pace, bytes);
    this.#stretch.add(pace.answeredMs, bytes);
    const { carryMs, carryPromptMs, carryTrips } = MIRROR_LIMITS;
    this.#carryMs = this.#isPrompt ? carryPromptMs : Math.max(carryMs, pace.tripMs * carryTrips);
    if (!this.#growAtOnce(bytes)) this.#measure(pace.leastMs);
    this.#bearable.add(pace, { size: this.#bytes, window: this.#window });
    this.#openWindow(pace);
  }

  /** Without a backlog: what comes while one is under way goes together, and small ones tell little. */
  #followSmall({ leastMs }: LinkPace, bytes: number): void {
    const { carryMs, lateCarries } = MIRROR_LIMITS;
    this.#window = 1;
    this.#recent = new Recent();
    this.#stretch = new Stretch(0);
    this.#before = undefined;
    // A link that became this slow does not carry large ones, when a backlog comes.
    if (leastMs > carryMs * lateCarries)
      this.#bytes = Math.min(this.#bytes, this.#bounded((bytes / leastMs) * carryMs));
  }

  #growAtOnce(bytes: number): boolean {
    const { growth, leastChange } = MIRROR_LIMITS;
    // One that was read before the size last grew says nothing of the size.
    if (bytes * 2 <= this.#bytes || this.#bytes >= this.#options.largest()) return false;
    // It can't be said to carry more while what is under way already takes too long.
    if (!this.#isStarting && !this.#bearable.hasRoom) return false;
    const isBold = this.#isStarting && !this.#isPrompt;
    const tookMs = isBold ? this.#recent.likelyMs(this.#bytes) : this.#recent.mostMs(this.#bytes);
    const by = Math.min(this.#carryMs / tookMs, growth);
    if (by < leastChange) return false;
    this.#before = undefined;
    this.#isLinkFull = undefined;
    const before = this.#bytes;
    this.#resize(before * by);
    this.#bytesPerMs *= this.#bytes / before;
    this.#bearable.scale(this.#bytes / before);
    return true;
  }

  #measure(leastMs: number): void {
    const { lateCarries, stretchBatches } = MIRROR_LIMITS;
    const { bytesPerMs, batches } = this.#stretch;
    if (bytesPerMs === undefined) return;
    // On a link that became much slower it is not measured to the end.
    const isOver = batches >= Math.max(this.#window, stretchBatches);
    if (!isOver && leastMs <= this.#carryMs * lateCarries) return;
    const underWay = this.#stretch.meanBytes * this.#window;
    const best = isOver ? this.#bestBytesPerMs * MIRROR_LIMITS.bestMemory : 0;
    this.#bestBytesPerMs = Math.max(bytesPerMs, best);
    this.#judge({ size: this.#bytes, underWay, bytesPerMs });
  }

  /** A stretch with one size is over. */
  #judge(now: Measured): void {
    const fitting = this.#bestBytesPerMs * this.#carryMs;
    this.#isStarting = false;
    const before = this.#before;
    this.#before = undefined;
    this.#bytesPerMs = now.bytesPerMs;
    this.#stretch = new Stretch(0);
    if (before === undefined) {
      this.#goOn(now, fitting);
      return;
    }
    const grew = now.size > before.size;
    const patience = grew ? this.#larger : this.#smaller;
    const change = Math.log(now.underWay / before.underWay);
    // Batches may be small for other reasons: then no size tells anything.
    if (grew ? change < LEAST_CHANGE : change > -LEAST_CHANGE) {
      patience.lose();
      this.#resize(Math.min(now.size, before.size));
      return;
    }
    const gain = Math.log(now.bytesPerMs / before.bytesPerMs) / change;
    this.#isLinkFull = gain < MIRROR_LIMITS.sizeGain;
    if (this.#isLinkFull === grew) patience.lose();
    else patience.win();
    if (this.#isLinkFull) this.#try(now, fitting);
    else this.#try(now, grew ? now.size * this.#step(gain) : before.size);
  }

  /** The size was the same in the stretch before. */
  #goOn(now: Measured, fitting: number): void {
    const share = fitting / now.size;
    const { leastChange, doubling } = MIRROR_LIMITS;
    const mayShrink = this.#smaller.isOver();
    if (share < 1 / leastChange && mayShrink) this.#try(now, fitting);
    else if (share > leastChange) this.#try(now, Math.min(fitting, now.size * doubling));
    else if (this.#bearable.hasRoom && this.#larger.isOver() && !(this.#isPrompt && share <= 1))
      this.#try(now, now.size * MIRROR_LIMITS.smallStep);
  }

  /** On a thin link little is to be under way; on another filling it takes more, and less time. */
  get #isPrompt(): boolean {
    return this.#options.isPrompt && this.#bytes < MIRROR_LIMITS.thinBytes;
  }

  /** Once the link was full, or is nearly, a step too far is not to be a large one. */
  #step(gain: number): number {
    const { doubling, smallStep, surelyGain } = MIRROR_LIMITS;
    return this.#isLinkFull !== true && gain > surelyGain ? doubling : smallStep;
  }

  #try(now: Measured, bytes: number): void {
    const share = this.#bounded(bytes) / now.size;
    const { leastChange } = MIRROR_LIMITS;
    if (share < leastChange && share > 1 / leastChange) return;
    this.#before = now;
    this.#resize(bytes);
  }

  #resize(bytes: number): void {
    this.#bytes = this.#bounded(bytes);
    // Those under way were read before.
    this.#stretch = new Stretch(this.#window);
  }

  #bounded(bytes: number): number {
    const { smallest, largest } = this.#options;
    return Math.floor(Math.min(Math.max(bytes, smallest), largest()));
  }

  #openWindow({ idleMs, tripMs }: LinkPace): void {
    const { shortIdleMs, window } = MIRROR_LIMITS;
    const { underWayBytes = MIRROR_LIMITS.underWayBytes } = this.#options;
    const eachMs = Math.max(this.#eachMs(), tripMs);
    // Loss and brokers at work make it twice the time; and one is being read and compressed meanwhile.
    const needed = Math.ceil((2 * idleMs) / eachMs) + 2;
    const few = LIMITS.mirrorWindow + 1;
    const wanted = idleMs < shortIdleMs || this.#isStarting ? few : Math.min(needed, window);
    const inTime = this.#inTime(idleMs, eachMs);
    const bearable = Math.min(inTime, Math.floor(underWayBytes / this.#bytes));
    this.#window = Math.min(wanted, Math.max(bearable, LIMITS.mirrorWindow), this.#window + 1);
  }

  /** For so long the link is busy with one, at least. */
  #eachMs(): number {
    const recent = this.#recent;
    const tookMs = this.#isPrompt ? recent.mostMs(this.#bytes) : recent.leastMs(this.#bytes);
    return Math.max(tookMs, this.#bytes / Math.max(this.#bytesPerMs, this.#bestBytesPerMs));
  }

  /** So many at once are not under way for too long: by arithmetic, and where it is known by how long it took. */
  #inTime(idleMs: number, eachMs: number): number {
    const { longIdleMs, queueMs, queuePromptMs, trialShare } = MIRROR_LIMITS;
    const mayQueueMs = this.#isPrompt ? queuePromptMs : queueMs;
    const inTimeMs = Math.min(idleMs, longIdleMs) + mayQueueMs;
    // One that is tried is not known to take longer, but must not be open for long if it does.
    const isTrial = this.#before !== undefined;
    const predicted = Math.round((inTimeMs / eachMs) * (isTrial ? trialShare : 1));
    if (this.#isPrompt || this.#isStarting) return predicted;
    return Math.round(this.#bearable.bytesOr(predicted * this.#bytes) / this.#bytes);
  }
}

/** For how many stretches something is not tried that was of no use, twice as many each time. */
class Patience {
  #left = 1;
  #last = 1;

  /** Asked once a stretch. */
  isOver(): boolean {
    this.#left = Math.max(this.#left - 1, 0);
    return this.#left === 0;
  }

  lose(): void {
    this.#last = Math.min(this.#last * 2, MIRROR_LIMITS.patienceMost);
    this.#left = this.#last;
  }

  win(): void {
    this.#last = 1;
    this.#left = 1;
  }
}

/** What goes over the link while the size is the same. */
class Stretch {
  /** Batches still to come that were read before. */
  #skip: number;
  #sinceMs: number | undefined;
  #nowMs = 0;
  #bytes = 0;
  batches = 0;

  constructor(skip: number) {
    this.#skip = skip;
  }

  add(answeredMs: number, bytes: number): void {
    this.#nowMs = answeredMs;
    if (this.#skip > 0 || this.#sinceMs === undefined) {
      this.#skip = Math.max(this.#skip - 1, 0);
      this.#sinceMs = answeredMs;
      return;
    }
    this.batches++;
    this.#bytes += bytes;
  }

  get meanBytes(): number {
    return this.#bytes / this.batches;
  }

  get bytesPerMs(): number | undefined {
    if (this.#sinceMs === undefined || this.batches === 0) return undefined;
    return this.#bytes / Math.max(this.#nowMs - this.#sinceMs, 1);
  }
}

/** What the last few batches took together: the answers to two may come at once, late by a loss before. */
class Recent {
  #leastMs = 0;
  /** For each byte, of each of the last few. */
  #likelyMs: number[] = [];
  #mostMs = 0;
  #bytes = 0;

  add({ leastMs, mostMs, isAlone }: LinkPace, bytes: number): void {
    const { paceMemory, paceSample } = MIRROR_LIMITS;
    this.#leastMs = this.#leastMs * paceMemory + leastMs;
    this.#likelyMs.push((isAlone ? mostMs : leastMs) / bytes);
    if (this.#likelyMs.length > paceSample) this.#likelyMs.shift();
    this.#mostMs = this.#mostMs * paceMemory + mostMs;
    this.#bytes = this.#bytes * paceMemory + bytes;
  }

  /** For so many bytes as read; at least 1 ms. */
  leastMs(bytes: number): number {
    return this.#of(this.#leastMs, bytes);
  }

  /** Where several travel the link is busy with one until the next one's turn. Losses make few of them late. */
  likelyMs(bytes: number): number {
    const sorted = this.#likelyMs.toSorted((a, b) => a - b);
    return Math.max((sorted[Math.floor(sorted.length / 2)] ?? 0) * bytes, 1);
  }

  mostMs(bytes: number): number {
    return this.#of(this.#mostMs, bytes);
  }

  #of(ms: number, bytes: number): number {
    return Math.max((ms / this.#bytes) * bytes, 1);
  }
}
