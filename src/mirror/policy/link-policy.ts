import { zoneOf } from '../../calendar.ts';
import { must } from '../../assert.ts';
import { LINK_LIMITS } from '../../link-limits.ts';
import type { StreamId } from '../../record.ts';
import type { MirrorCursor } from '../mirror-cursor.ts';
import { type Timer, untilBeat } from '../../time.ts';
import { formatDiskSize } from '../../units.ts';
import type { TopicClass } from '../selection.ts';
import type { Batching } from '../upstream.ts';
import { Admission } from './admission.ts';
import type { Budget } from './budget.ts';
import { BudgetBook } from './budget-book.ts';
import { HoldBook } from './hold-book.ts';
import { holdsOf } from './holds.ts';
import { kernelSockets } from './kernel-sockets.ts';
import type { HoldStatus, LinkStatus } from './link-status.ts';
import { MeteredWatch } from './metered.ts';
import { systemNetwork } from './network.ts';
import { PolicyCursor } from './policy-cursor.ts';
import type { LinkPolicyOptions } from './policy-options.ts';
import { PresentRate } from './present-rate.ts';
import { TokenBucket } from './token-bucket.ts';
import { Windows } from './windows.ts';
import { WireMeter, type Wire } from './wire-meter.ts';

/**
 * What a mirror's link may cost: a cap of its rate, budgets, windows, what is sent while it is metered.
 * It answers which classes may be sent; when that changes, the mirror ends its session in good order
 * and begins another with what may. Within a session it cuts batches to what is left, has them
 * wait, and paces what is written.
 */
export class LinkPolicy {
  readonly #options: LinkPolicyOptions;
  readonly #bucket: TokenBucket;
  readonly #meter: WireMeter;
  readonly #windows: Windows;
  readonly #metered: MeteredWatch | undefined;
  readonly #book: BudgetBook;
  readonly #admission: Admission;
  readonly #holds: HoldBook;
  readonly #rate: PresentRate;
  /** Of the bytes on the wire, those that the budgets and the cap know of. */
  #bookedBytes = 0;
  #askedKernelMs = 0;
  #askedAtBytes = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #isStopped = false;
  #isThoughtMetered = false;
  #onChange: () => void = () => {};

  private constructor(options: LinkPolicyOptions, book: BudgetBook) {
    const { rules, clock, name, logger } = options;
    const { askKernel = kernelSockets(), network = systemNetwork } = options;
    this.#options = options;
    this.#book = book;
    this.#bucket = new TokenBucket(clock, rules.bitsPerSecond);
    this.#meter = new WireMeter({
      bucket: this.#bucket,
      askKernel,
      onConnected: (ends) => {
        this.#metered?.connected(ends);
        this.#think();
      },
    });
    this.#windows = new Windows(rules.windows, zoneOf(rules.zone));
    this.#metered =
      rules.metered === undefined ? undefined : new MeteredWatch(rules.metered, network, clock);
    this.#holds = new HoldBook(name, clock, logger);
    this.#rate = new PresentRate(clock);
    this.#admission = new Admission({
      book,
      wireBytes: () => this.#meter.bytes,
      settleAccounts: () => this.#settleAccounts(),
      onEnded: () => this.#think(),
      onOverdrawn: (budget, cost) => this.#tellOverdrawn(budget, cost),
    });
  }

  static async load(options: LinkPolicyOptions): Promise<LinkPolicy> {
    const { space, rules, logger } = options;
    const zone = zoneOf(rules.zone);
    const book = await BudgetBook.load({ space, rules: rules.budgets, zone, logger });
    return new LinkPolicy(options, book);
  }

  /** `onChange`: other classes may be sent now than before. */
  async start(onChange: () => void): Promise<void> {
    await this.#book.begin();
    await this.#look();
    this.#think();
    this.#onChange = onChange;
    this.#tick();
  }

  /** Durable when resolved: what was used. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#settleAccounts();
    await this.#book.close();
  }

  /** Where the far side's connections are handed over. */
  get wire(): Wire {
    return this.#meter;
  }

  /** `isSampled`: it is a sample of a topic of the class. */
  allows(topicClass: TopicClass, isSampled: boolean = false): boolean {
    return this.holdOf(topicClass, isSampled) === undefined;
  }

  /** What keeps the class back. */
  holdOf(topicClass: TopicClass, isSampled: boolean = false): HoldStatus | undefined {
    return this.#holds.of(topicClass, isSampled);
  }

  /** The way to the far side is metered at present. */
  get isMetered(): boolean {
    return this.#metered?.way.isMetered === true;
  }

  /** Every byte is paid for at present. */
  get isCostly(): boolean {
    return this.isMetered || this.#options.rules.budgets.length > 0;
  }

  /** Why nothing of these classes may be sent; undefined: something may, or there are none. */
  restOf(classes: ReadonlySet<TopicClass>): HoldStatus | undefined {
    const holds = [...classes].map((one) => this.#holds.of(one));
    return holds.every((hold) => hold !== undefined) ? holds[0] : undefined;
  }

  /** The bounds of the next batch, cut down to what the cap and the budgets leave. */
  batching(inner: Batching): Batching {
    const bounded = (): number => {
      const { bitsPerSecond } = this.#bucket;
      return this.#admission.batchBytes(
        bitsPerSecond === undefined ? undefined : bitsPerSecond / 8,
      );
    };
    return {
      get maxRecords() {
        return inner.maxRecords;
      },
      get maxBytes() {
        return Math.min(inner.maxBytes, bounded());
      },
      get maxWaitMs() {
        return inner.maxWaitMs;
      },
    };
  }

  /** One session's; `classOf` knows its streams. */
  cursor(
    inner: MirrorCursor,
    classOf: (stream: StreamId) => TopicClass,
    signal: AbortSignal,
  ): MirrorCursor {
    this.#admission.reset();
    return new PolicyCursor({
      inner,
      classOf,
      signal,
      admission: this.#admission,
      rested: () => this.#restedFromRate(signal),
    });
  }

  /** A session is about to close its connections: the kernel's last word on them is heard. */
  async leaving(): Promise<void> {
    await this.#meter.askKernel();
    this.#admission.left();
    this.#settleAccounts();
    this.#think();
  }

  settled(batch: Parameters<Admission['settled']>[0]): void {
    this.#admission.settled(batch);
  }

  status(): LinkStatus {
    this.#settleAccounts();
    const way = this.#metered?.way;
    return {
      wireBytes: Math.round(this.#meter.bytes),
      countedBy: this.#meter.isTold ? 'kernel' : 'estimate',
      bitsPerSecond: this.#rate.bitsPerSecond,
      capBitsPerSecond: this.#bucket.bitsPerSecond,
      budgets: this.#book.budgets.map((budget) => ({
        per: budget.rule.per,
        bytes: budget.rule.bytes,
        usedBytes: Math.round(budget.usedBytes),
        over: budget.isOver,
        exempt: budget.rule.exempt,
        startMs: budget.period?.startMs,
        resetsMs: budget.period?.endMs,
      })),
      windows: this.#windows.states().map(({ rule, openUntilMs, opensMs }) => ({
        from: rule.from,
        forMs: rule.forMs,
        classes: rule.classes ?? null,
        openUntilMs,
        opensMs,
      })),
      metered:
        way === undefined
          ? undefined
          : { interface: way.device, metered: way.isMetered, by: way.by },
      holds: this.#holds.all,
    };
  }

  /** A debt of the cap is paid off before the next batch begins. */
  async #restedFromRate(signal: AbortSignal): Promise<void> {
    for (let waitMs = this.#bucket.debtMs; waitMs > 0 && !signal.aborted;) {
      // A wait below what the clock can tell would go round without an end.
      await this.#options.clock.sleep(Math.max(1, waitMs), signal);
      waitMs = this.#bucket.debtMs;
    }
  }

  #tick(): void {
    if (this.#isStopped) return;
    const { clock } = this.#options;
    this.#timer = clock.after(
      untilBeat(clock, LINK_LIMITS.linkTickMs),
      () => void this.#lookAndTick(),
    );
  }

  async #lookAndTick(): Promise<void> {
    await this.#look();
    this.#settleAccounts();
    this.#rate.note(this.#meter.bytes);
    this.#think();
    this.#tick();
  }

  /** Asks whoever is to be asked by now. */
  async #look(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const { kernelAskMs, meteredLookMs } = LINK_LIMITS;
    const bytes = this.#meter.bytes;
    if (nowMs - this.#askedKernelMs >= kernelAskMs && bytes !== this.#askedAtBytes) {
      this.#askedKernelMs = nowMs;
      await this.#meter.askKernel();
      this.#askedAtBytes = this.#meter.bytes;
    }
    if (this.#metered !== undefined && nowMs - this.#lookedMs >= meteredLookMs) {
      this.#lookedMs = nowMs;
      await this.#metered.look(this.#meter.ends);
    }
  }

  #settleAccounts(): void {
    const bytes = this.#meter.bytes;
    const news = bytes - this.#bookedBytes;
    this.#bookedBytes = bytes;
    this.#book.look(this.#soundNowMs());
    this.#book.charge(news);
    this.#bucket.charge(news - this.#meter.paidBytes());
  }

  #tellOverdrawn({ rule }: Budget, cost: number): void {
    const { name, logger } = this.#options;
    const { per, bytes } = rule;
    const sizes = `about ${formatDiskSize(cost)} on the wire, the budget is ${formatDiskSize(bytes)} a ${per}`;
    logger.warn(
      { event: 'mirror.budget-overdrawn', bytes: Math.round(cost), per },
      `mirror ${name}: a record is too large for the budget (${sizes}): it goes, and the next periods save what it takes too much`,
    );
  }

  #soundNowMs(): number | undefined {
    const { clock, isClockSound } = this.#options;
    return isClockSound() ? clock.nowMs() : undefined;
  }

  #think(): void {
    const nowMs = this.#soundNowMs();
    this.#book.look(nowMs);
    this.#windows.look(nowMs);
    const { rules } = this.#options;
    const metered =
      this.#metered === undefined
        ? undefined
        : { rule: must(rules.metered, 'only a rule is watched'), way: this.#metered.way };
    const then = metered?.way.isMetered === true ? metered.rule.action : undefined;
    const cap = typeof then === 'object' ? then.capBitsPerSecond : Infinity;
    const rate = Math.min(rules.bitsPerSecond ?? Infinity, cap);
    this.#bucket.setRate(rate === Infinity ? undefined : rate);
    const holds = holdsOf(this.#book.budgets, this.#windows, metered, nowMs !== undefined);
    const wasMetered = this.#isThoughtMetered;
    this.#isThoughtMetered = this.isMetered;
    const isSampled = this.#options.samples === true && wasMetered !== this.isMetered;
    if (this.#holds.take(holds) || isSampled) this.#onChange();
  }
}
