import type { TrustState } from '../clock-status.ts';
import type { ClockTrust } from '../clock-trust.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Marks } from '../time-source.ts';
import { isOther, unpackBoots, type Boots, type ClockStamp, type KnownBoot } from './boots.ts';
import type { KeyValue } from './log.ts';
import { packed } from './pack.ts';
import { unpackedList } from './unpack.ts';

/** The keys of its space in the state database. */
const BOOTS_KEY = 'boots';
const MARKS_KEY = 'marks';

export interface LogClockOptions {
  readonly trust: ClockTrust;
  readonly logger: Logger;
}

/** A reading of the clocks for a commit. */
export interface CommitReading {
  readonly stamp: ClockStamp;
  readonly jumpMs: number;
}

/** What a checkpoint tells of the age of what stands before it in a stream. */
export interface AgedPlace {
  /** The clocks at its last commit; undefined: written before commits carried them. */
  readonly stamp: ClockStamp | undefined;
  /** Latest timestamp in the segment so far; -1 is none. */
  readonly latest: number;
}

/**
 * The clock as the log sees it: the present boot by its number, and what is learned of its time.
 * The state database keeps the boots; should it be lost, the newest stand in the log's checkpoints.
 */
export class LogClock {
  readonly #trust: ClockTrust;
  readonly #logger: Logger;
  readonly #boots: Boots;
  readonly #values: KeyValue;
  #boot: KnownBoot | undefined;
  /** Retention asks for each stream in turn. */
  #aged: { readonly stamp: ClockStamp; readonly atMs: number; readonly ageMs: number } | undefined;
  #saving: Promise<void> = Promise.resolve();
  #savedMarks: Marks = new Map();
  #savedMarksMs = -Infinity;

  private constructor({ trust, logger }: LogClockOptions, boots: Boots, values: KeyValue) {
    this.#trust = trust;
    this.#logger = logger;
    this.#boots = boots;
    this.#values = values;
  }

  /** With what was known before; to be loaded before the log is opened. `values`: its own space. */
  static async load(options: LogClockOptions, boots: Boots, values: KeyValue): Promise<LogClock> {
    const stored = await values.get(BOOTS_KEY);
    // What is not of its form is as if it were lost: the log's checkpoints know the newest.
    const known = stored === undefined ? undefined : unpackBoots(unpackedList(stored));
    boots.restore(known ?? []);
    return new LogClock(options, boots, values);
  }

  /** Before the first commit, so that the boot that it names is known. */
  async begin(): Promise<void> {
    const trust = this.#trust;
    const { monoMs } = trust.read();
    const { boot, isNew } = this.#boots.begin(trust.boot, monoMs);
    this.#boot = boot;
    const sureMs = this.#boots.sureBefore(boot.number);
    const ms = sureMs ?? this.#boots.unopposed();
    const isSure = sureMs !== undefined;
    // Of the same boot an earlier process may have been the one that nothing spoke against.
    const beganMonoMs = isSure ? boot.firstMs : monoMs;
    if (ms !== undefined) trust.began({ ms, isSure, beganMonoMs });
    const { knownMs: offsetMs, lastMs } = boot;
    if (offsetMs !== undefined)
      trust.resume({ offsetMs, lastMs, marks: await this.#marksOf(boot) });
    trust.onLearned = (learnedMs) => {
      this.#learn(boot, learnedMs);
      void this.#save();
      this.#saveMarks();
    };
    trust.onAsked = () => {
      const now = trust.read();
      const isDue = now.monoMs - this.#savedMarksMs >= LIMITS.clockMarksMs;
      if (isDue || now.trust !== 'trusted') this.#saveMarks();
    };
    if (trust.knownMs !== undefined) this.#learn(boot, trust.knownMs);
    if (isNew || trust.knownMs !== undefined) await this.#save();
    this.#saveMarks();
  }

  /** Both clocks now, for a commit. */
  read(): CommitReading {
    const { wallMs, monoMs, trust, jumpMs } = this.#trust.read();
    const boot = this.#boot?.number ?? 0;
    this.#assume(wallMs, monoMs, trust);
    return { stamp: { boot, monoMs, wallMs, trust }, jumpMs };
  }

  /**
   * Whether everything in a stream before a checkpoint is surely older than `ms`: by when it was
   * stored, not by what its timestamps say, of which the checkpoint knows the `latest`.
   */
  isOlder({ stamp, latest }: AgedPlace, ms: number): boolean {
    if (stamp !== undefined) return this.#ageMs(stamp) > ms;
    const { stamp: now } = this.read();
    // Written before commits carried the clock.
    if (now.trust === 'suspect') return false;
    return latest < now.wallMs - ms;
  }

  /** On closing: how long the boot was, so far. */
  async close(): Promise<void> {
    this.#trust.onLearned = () => {};
    this.#trust.onAsked = () => {};
    if (this.#boot === undefined) return;
    this.#boot.lastMs = Math.max(this.#boot.lastMs, this.#trust.read().monoMs);
    this.#boots.version++;
    this.#saveMarks();
    await this.#save();
  }

  #ageMs(stamp: ClockStamp): number {
    const { stamp: now } = this.read();
    const aged = this.#aged;
    if (aged?.stamp === stamp && now.monoMs - aged.atMs < LIMITS.clockToleranceMs)
      return aged.ageMs;
    const ageMs = this.#boots.ageMs(stamp, now);
    this.#aged = { stamp, atMs: now.monoMs, ageMs };
    return ageMs;
  }

  #learn(boot: KnownBoot, offsetMs: number): void {
    const { knownMs = Infinity } = boot;
    if (Math.abs(knownMs - offsetMs) < LIMITS.clockToleranceMs) return;
    boot.knownMs = offsetMs;
    this.#boots.version++;
  }

  /** A possible time that nobody confirmed is better than an impossible one. */
  #assume(wallMs: number, monoMs: number, trust: TrustState): void {
    const boot = this.#boot;
    if (trust === 'trusted' || boot === undefined || boot.knownMs !== undefined) return;
    if (wallMs < LIMITS.clockEarliestMs) return;
    const offset = wallMs - monoMs;
    const isNews = isOther(boot.assumedMs, offset);
    if (isNews) boot.assumedMs = offset;
    const isTaken = trust === 'unconfirmed' && this.#boots.taken(boot, offset, monoMs);
    if (!isNews && !isTaken) return;
    this.#boots.version++;
    void this.#save();
  }

  #save(): Promise<void> {
    return this.#put(BOOTS_KEY, () => packed(this.#boots.packed()));
  }

  /** What the sources of time said, for the next process of this boot. */
  #saveMarks(): void {
    const { marks, boot } = this.#trust;
    if (marks === this.#savedMarks) return;
    this.#savedMarks = marks;
    this.#savedMarksMs = this.#trust.read().monoMs;
    void this.#put(MARKS_KEY, () => packed([boot, ...[...marks].flat()]));
  }

  async #marksOf({ id }: KnownBoot): Promise<Marks> {
    const stored = await this.#values.get(MARKS_KEY);
    const [boot, ...texts] = (stored === undefined ? undefined : unpackedList(stored)) ?? [];
    const marks = new Map<string, string>();
    if (boot !== id) return marks;
    for (let at = 0; at < texts.length; at += 2) {
      const [name, mark] = texts.slice(at);
      if (typeof name === 'string' && typeof mark === 'string') marks.set(name, mark);
    }
    return marks;
  }

  /** One after the other. A failure is not the log's: what is not kept is learned again. */
  #put(key: string, value: () => Uint8Array): Promise<void> {
    const before = this.#saving;
    this.#saving = (async () => {
      await before;
      try {
        await this.#values.put(key, value());
      } catch (error) {
        const text = 'what is known of the clock could not be kept';
        this.#logger.warn({ error: messageOf(error) }, text);
      }
    })();
    return this.#saving;
  }
}
