import type { Boot } from './boot.ts';
import type { ClockStatus, TrustState } from './clock-status.ts';
import { mayFollow, whyNotAfter, type EarlierTime } from './earlier-time.ts';
import { LIMITS } from './limits.ts';
import type { Logger } from './telemetry.ts';
import { answerOf, SourceWords, type Marks, type TimeSource } from './time-source.ts';
import { isoTime, untilBeat, type Clock, type Timer } from './time.ts';
import { formatDuration } from './units.ts';

/** What an earlier process of the same boot leaves. */
export interface EarlierProcess {
  /** The true offset. */
  readonly offsetMs: number;
  /** Monotonic time at which it wrote last. */
  readonly lastMs: number;
  /** What sources had said. */
  readonly marks: Marks;
}

/** Both clocks at one moment, in whole milliseconds. */
export interface ClockReading {
  readonly wallMs: number;
  /** Since the boot. */
  readonly monoMs: number;
  readonly trust: TrustState;
  /** How far the wall clock jumped a moment ago; 0 when it did not. */
  readonly jumpMs: number;
}

export interface ClockTrustOptions {
  readonly clock: Clock;
  readonly boot: Boot;
  readonly logger: Logger;
  /**
   * `ask` the sources; believe the clock `always` (while it is not before this software's time);
   * or `never`.
   */
  readonly policy: 'ask' | 'always' | 'never';
  readonly sources: readonly TimeSource[];
  /** The clocks part when their difference changes by more. */
  readonly maxDriftMs: number;
}

/**
 * Watches the wall clock against the monotonic clock of the boot. The difference of the two, here
 * `offset`, is constant while nobody sets the clock: wall = offset + monotonic.
 */
export class ClockTrust {
  readonly #options: ClockTrustOptions;
  readonly boot: string;
  /** Called with the offset whenever the boot's true time becomes known, or is known better. */
  onLearned: (offsetMs: number) => void = () => {};
  /** Called whenever sources were asked. */
  onAsked: () => void = () => {};
  /** The offset that is held to be right, and the one seen last. */
  #base: number;
  #seen: number;
  /** The offset that a source confirmed. */
  #known: number | undefined;
  #source: string | undefined;
  /** A source is there that waits for its time. */
  #waiting = false;
  #earlier: EarlierTime | undefined;
  readonly #words = new SourceWords();
  /** Monotonic time at which an earlier process of this boot saw its clock last. */
  #seenBeforeMs = 0;
  #state: TrustState = 'unconfirmed';
  /** Monotonic time. */
  #sinceMs: number;
  #jumps = 0;
  #lastJump: { readonly ms: number; readonly atMonoMs: number } | undefined;
  #timer: Timer | undefined;
  #nextDearMs = 0;
  #dearEveryMs: number = LIMITS.clockDearFirstMs;
  #stopped = false;
  #isAnnounced = false;

  constructor(options: ClockTrustOptions) {
    this.#options = options;
    this.boot = options.boot.id;
    const { wallMs, monoMs } = this.#clocks();
    this.#base = wallMs - monoMs;
    this.#seen = this.#base;
    this.#sinceMs = monoMs;
    if (options.policy === 'always') this.#confirm('clock.trust: always', this.#base);
    this.#state = this.#judge();
  }

  /**
   * Asks those that answer at once, so that the first commit knows; then goes on asking. Nothing is
   * logged before `announce`: what starts may still be refused, in one line.
   */
  async start(): Promise<void> {
    await this.#ask(false);
    this.#next();
  }

  /** Tells the state, and from now on every change. */
  announce(): void {
    this.#isAnnounced = true;
    this.#tell(undefined);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /**
   * What an earlier process of this boot learned. Where the clock has parted from it, a source that
   * spoke before it did so says nothing of the clock now.
   */
  resume({ offsetMs, lastMs, marks }: EarlierProcess): void {
    const { policy, maxDriftMs } = this.#options;
    const isParted = policy === 'ask' && Math.abs(this.#seen - offsetMs) > maxDriftMs;
    if (isParted) {
      this.#seenBeforeMs = lastMs;
      this.#words.jumpedUnseen(marks, this.#isShown);
    }
    const source = this.#source;
    if (
      this.#known !== undefined &&
      (!isParted || (source !== undefined && this.#words.counts(source)))
    )
      return;
    this.#known = offsetMs;
    this.#source = undefined;
    if (policy === 'ask') this.#base = offsetMs;
    this.#settle();
  }

  /** By source, the mark of its last word: for the next process of this boot. */
  get marks(): Marks {
    return this.#words.marks;
  }

  /** What earlier starts tell about the time of this one. */
  began(earlier: EarlierTime): void {
    this.#earlier = earlier;
    this.#settle();
  }

  /** The true offset of this boot; undefined while nobody said. */
  get knownMs(): number | undefined {
    return this.#known;
  }

  /** Reads both clocks, and notices when they have parted. */
  read(): ClockReading {
    const { maxDriftMs, boot } = this.#options;
    let { wallMs, monoMs } = this.#clocks();
    if (Math.abs(wallMs - monoMs - this.#seen) > maxDriftMs && boot.renew !== undefined) {
      boot.renew(); // Asleep, the one clock stood and the other went on: that is no jump.
      ({ wallMs, monoMs } = this.#clocks());
    }
    this.#observe(wallMs, monoMs);
    return { wallMs, monoMs, trust: this.#state, jumpMs: this.#recentJump(monoMs) };
  }

  /** The best known time: a clock that jumped is not followed while the boot knows better. */
  nowMs(): number {
    const { wallMs, monoMs, trust } = this.read();
    return trust === 'suspect' && this.#known !== undefined ? this.#known + monoMs : wallMs;
  }

  /** Whether `nowMs` is to be relied on. */
  isSound(): boolean {
    return this.read().trust !== 'suspect' || this.#known !== undefined;
  }

  status(): ClockStatus {
    const timeMs = this.nowMs();
    const { wallMs, monoMs } = this.#clocks();
    return {
      state: this.#state,
      why: this.#state === 'suspect' ? this.#whySuspect() : null,
      source: this.#source ?? null,
      forMs: Math.max(0, monoMs - this.#sinceMs),
      time: isoTime(timeMs),
      aheadMs: wallMs - timeMs,
      boot: this.boot,
      jumps: this.#jumps,
      lastJumpMs: this.#lastJump?.ms ?? null,
    };
  }

  /** A process that was stopped between the two readings is no jump: they are taken again. */
  #clocks(): { readonly wallMs: number; readonly monoMs: number } {
    const { clock, boot } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const before = boot.monotonicMs();
      const wallMs = clock.nowMs();
      const after = boot.monotonicMs();
      if (after - before < LIMITS.clockReadMs || attempt === 3) {
        return { wallMs, monoMs: Math.round(after) };
      }
    }
  }

  #observe(wallMs: number, monoMs: number): void {
    const { maxDriftMs, policy } = this.#options;
    const offset = wallMs - monoMs;
    const jumpMs = offset - this.#seen;
    this.#seen = offset;
    if (Math.abs(jumpMs) > maxDriftMs) this.#jumped(jumpMs, wallMs, monoMs);
    if (policy === 'always' && (this.#known === undefined || this.#isApart()))
      this.#confirm('clock.trust: always', offset);
    // Steps below the bound are followed, so that a year of them makes no jump.
    if (this.#known === undefined && !this.#isApart()) this.#base = offset;
    this.#settle();
  }

  #jumped(jumpMs: number, wallMs: number, monoMs: number): void {
    this.#jumps++;
    this.#lastJump = { ms: jumpMs, atMonoMs: monoMs };
    this.#words.jumped();
    this.#dearEveryMs = LIMITS.clockDearFirstMs;
    this.#nextDearMs = monoMs;
    // From an impossible time to a possible one, where nobody can be asked: better than before.
    const was = this.#isPossible(this.#base, monoMs);
    const is = this.#isPossible(this.#seen, monoMs);
    if (!was && is && this.#known === undefined) this.#base = this.#seen;
    this.#options.logger.warn(
      { event: 'clock.jump', jumpMs, wall: isoTime(wallMs) },
      `the wall clock jumped ${jumpMs > 0 ? 'ahead' : 'back'} by ${formatDuration(Math.abs(jumpMs))}`,
    );
  }

  #recentJump(monoMs: number): number {
    const jump = this.#lastJump;
    return jump !== undefined && monoMs - jump.atMonoMs < LIMITS.clockJumpMs ? jump.ms : 0;
  }

  #isApart(): boolean {
    return Math.abs(this.#seen - this.#base) > this.#options.maxDriftMs;
  }

  /** Of a clock that nobody confirmed. It stays impossible, however long it runs on. */
  #isPossible(offset: number, monoMs: number): boolean {
    if (offset + monoMs < LIMITS.clockEarliestMs) return false;
    if (this.#earlier === undefined) return true;
    const { beganMonoMs } = this.#earlier;
    return mayFollow(this.#earlier, offset + beganMonoMs, this.#options.maxDriftMs);
  }

  #confirm(source: string, offset: number): void {
    const { monoMs } = this.#clocks();
    if (offset + monoMs < LIMITS.clockEarliestMs) return;
    this.#source = source;
    this.#base = offset;
    this.#words.confirmed();
    this.#waiting = false;
    const known = this.#known;
    if (known !== undefined && Math.abs(known - offset) <= this.#options.maxDriftMs) return;
    this.#known = offset;
    this.onLearned(offset);
  }

  #judge(): TrustState {
    const { policy } = this.#options;
    const { monoMs } = this.#clocks();
    if (policy === 'never' || this.#isApart()) return 'suspect';
    if (this.#seen + monoMs < LIMITS.clockEarliestMs) return 'suspect';
    if (this.#known !== undefined) return 'trusted';
    if (!this.#isPossible(this.#seen, monoMs)) return 'suspect';
    return this.#waiting ? 'suspect' : 'unconfirmed';
  }

  #settle(): void {
    const before = this.#state;
    const state = this.#judge();
    if (state === before) return;
    this.#state = state;
    this.#sinceMs = this.#clocks().monoMs;
    if (this.#isAnnounced) this.#tell(before);
  }

  #tell(before: TrustState | undefined): void {
    const { logger } = this.#options;
    const state = this.#state;
    const fields = { event: 'clock.trust', state, before, source: this.#source };
    if (state === 'trusted') {
      logger.info(
        fields,
        `the clock is trusted (${this.#source ?? 'known since earlier in this boot'})`,
      );
    } else if (state === 'unconfirmed') {
      logger.info(
        fields,
        'nothing here says whether the clock is right; it is taken as it is (see clock.trust)',
      );
    } else {
      logger.warn(fields, `the clock is not trusted: ${this.#whySuspect()}`);
    }
  }

  #whySuspect(): string {
    if (this.#options.policy === 'never') return 'clock.trust is never';
    if (this.#isApart()) {
      return `it is ${formatDuration(Math.abs(this.#seen - this.#base))} away from where the monotonic clock says`;
    }
    if (this.#waiting) return 'it is not synchronised yet';
    const wallMs = this.#seen + this.#clocks().monoMs;
    if (wallMs < LIMITS.clockEarliestMs || this.#earlier === undefined) {
      return `${isoTime(wallMs)} is before this software was made`;
    }
    return whyNotAfter(this.#earlier, this.#seen + this.#earlier.beganMonoMs);
  }

  #next(): void {
    if (this.#stopped) return;
    const { clock } = this.#options;
    this.#timer = clock.after(untilBeat(clock, LIMITS.clockCheckMs), () => void this.#check());
  }

  async #check(): Promise<void> {
    const { monoMs } = this.read();
    const dear = monoMs >= this.#nextDearMs;
    await this.#ask(dear);
    this.onAsked();
    if (dear) {
      const trusted = this.#state === 'trusted';
      this.#dearEveryMs = trusted
        ? LIMITS.clockDearMaxMs
        : Math.min(this.#dearEveryMs * 2, LIMITS.clockDearMaxMs);
      this.#nextDearMs = monoMs + this.#dearEveryMs;
    }
    this.#next();
  }

  async #ask(dear: boolean): Promise<void> {
    const { sources, policy, logger } = this.#options;
    if (policy !== 'ask') return;
    let waiting = dear ? false : this.#waiting;
    for (const source of sources) {
      if (source.dear && !dear) continue;
      const answer = await answerOf(source, logger);
      if (this.#stopped) return;
      if (answer.says === 'unsynchronised') waiting = true;
      if (answer.says !== 'synchronised') continue;
      this.read();
      if (!this.#words.hear(source.name, answer, this.#isShown)) continue;
      this.#confirm(source.name, this.#seen);
      this.#settle();
      return;
    }
    this.#waiting = waiting;
    this.#settle();
  }

  /** It showed this time in this boot, and not before an earlier process of it had seen another. */
  readonly #isShown = (atMs: number): boolean => {
    const { maxDriftMs } = this.#options;
    const atMonoMs = atMs - this.#seen;
    const fromMs = this.#seenBeforeMs - maxDriftMs;
    return atMonoMs >= fromMs && atMonoMs <= this.#clocks().monoMs + maxDriftMs;
  };
}

/** A clock that nobody asks: it is taken as it is while it keeps step with its own monotonic time. */
export function unaskedTrust(clock: Clock, logger: Logger): ClockTrust {
  return new ClockTrust({
    clock,
    boot: { id: 'process', monotonicMs: () => clock.monotonicMs() },
    logger,
    policy: 'ask',
    sources: [],
    maxDriftMs: LIMITS.clockDriftMs,
  });
}

/** The clock, but its time of day is the best that is known. Not for the times of records received. */
export function believedClock(clock: Clock, trust: ClockTrust): Clock {
  return {
    nowMs: () => trust.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, task) => clock.after(delayMs, task),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
  };
}
