import type { ClockTrust } from '../clock-trust.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { unpackBoots, type Boots, type ClockStamp, type KnownBoot } from './boots.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { KeyValue } from './log.ts';
import { packed } from './pack.ts';
import { unpackedList } from './unpack.ts';

/** The one key of its space in the state database. */
const BOOTS_KEY = 'boots';

export interface LogClockOptions {
  readonly trust: ClockTrust;
  readonly logger: Logger;
}

/** A reading of the clocks for a commit. */
export interface CommitReading {
  readonly stamp: ClockStamp;
  readonly jumpMs: number;
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
    if (boot.knownMs !== undefined) trust.resume(boot.knownMs);
    trust.onLearned = (offsetMs) => {
      this.#learn(boot, offsetMs);
      void this.#save();
    };
    if (trust.knownMs !== undefined) this.#learn(boot, trust.knownMs);
    if (isNew || trust.knownMs !== undefined) await this.#save();
  }

  /** Both clocks now, for a commit. */
  read(): CommitReading {
    const { wallMs, monoMs, trust, jumpMs } = this.#trust.read();
    const boot = this.#boot?.number ?? 0;
    this.#assume(wallMs, monoMs, trust !== 'trusted');
    return { stamp: { boot, monoMs, wallMs, trust }, jumpMs };
  }

  /**
   * Whether everything in the stream before the checkpoint is surely older than `ms`: by when it
   * was stored, not by what its timestamps say.
   */
  isOlder(checkpoint: Checkpoint, stream: number, ms: number): boolean {
    const { clock } = checkpoint;
    if (clock !== undefined) return this.#ageMs(clock.stamp) > ms;
    const { stamp } = this.read();
    // Written before commits carried the clock.
    if (stamp.trust === 'suspect') return false;
    return (checkpoint.latest[stream] ?? -1) < stamp.wallMs - ms;
  }

  /** On closing: how long the boot was, so far. */
  async close(): Promise<void> {
    this.#trust.onLearned = () => {};
    if (this.#boot === undefined) return;
    this.#boot.lastMs = Math.max(this.#boot.lastMs, this.#trust.read().monoMs);
    this.#boots.version++;
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
  #assume(wallMs: number, monoMs: number, isUnsure: boolean): void {
    const boot = this.#boot;
    if (!isUnsure || boot === undefined || boot.knownMs !== undefined) return;
    if (wallMs < LIMITS.clockEarliestMs) return;
    const offset = wallMs - monoMs;
    if (boot.assumedMs !== undefined && Math.abs(boot.assumedMs - offset) <= LIMITS.clockDriftMs) {
      return;
    }
    boot.assumedMs = offset;
    this.#boots.version++;
    void this.#save();
  }

  /** One after the other. A failure is not the log's: what is not kept is learned again. */
  #save(): Promise<void> {
    const before = this.#saving;
    this.#saving = (async () => {
      await before;
      try {
        await this.#values.put(BOOTS_KEY, packed(this.#boots.packed()));
      } catch (error) {
        const text = 'what is known of the clock could not be kept';
        this.#logger.warn({ error: messageOf(error) }, text);
      }
    })();
    return this.#saving;
  }
}
