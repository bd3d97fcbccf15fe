import type { WearStatus } from '../admin/wear-status.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { KeyValue, StoreCounters } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, type Timer, untilBeat } from '../time.ts';
import { DAY_MS } from '../units.ts';
import type { WearBudget } from './wear-budget.ts';
import { NOTHING_WRITTEN, perDay, ratio, WearDay, type WearAmounts } from './wear-day.ts';
import type { WearSource, WrittenCounts } from './wear-files.ts';

export interface WearMeterOptions {
  readonly source: WearSource;
  readonly space: KeyValue;
  readonly counters: () => StoreCounters;
  readonly budget: WearBudget | undefined;
  /** The wait of the next commit. */
  readonly lingerMs: () => number;
  readonly budgetBytes: number | undefined;
  readonly ratingBytes: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

const KEY = 'day';
/** Rates over less than this would jump about. */
const SHORTEST_MS = 1000;

/** What is stored. Everything may be missing or damaged: then it begins anew. */
interface Stored {
  readonly slots?: unknown;
  readonly savedMs?: unknown;
  readonly bootId?: unknown;
  readonly volumeBytes?: unknown;
  readonly diskBytes?: unknown;
  readonly budgetLevel?: unknown;
}

/** All counts at one moment. A count that the kernel does not give stays at 0. */
interface Sample extends WearAmounts {
  readonly atMs: number;
}

/**
 * How much is really written, over the last day and across restarts. Looks every
 * LIMITS.wearSampleMs, feeds the budget, and stores its small state every LIMITS.wearSaveMs: that
 * is a synced write, and counted like all others. A kill loses at most what this process wrote
 * since the last saving; the device's own count goes on until the machine starts anew.
 */
export class WearMeter {
  readonly #options: WearMeterOptions;
  #day = new WearDay();
  #last: Sample = { atMs: 0, ...NOTHING_WRITTEN };
  #known: WrittenCounts = {
    processBytes: undefined,
    volumeBytes: undefined,
    diskBytes: undefined,
  };
  /** The stretch between the last two looks. */
  #recent: WearAmounts & { readonly ms: number } = { ms: 0, ...NOTHING_WRITTEN };
  #savedMs = 0;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  private constructor(options: WearMeterOptions) {
    this.#options = options;
  }

  static async start(options: WearMeterOptions): Promise<WearMeter> {
    const meter = new WearMeter(options);
    await meter.#restore();
    meter.#arm();
    return meter;
  }

  /** The figures as of now. Never rejects. */
  async measure(): Promise<WearStatus> {
    if (this.#options.clock.monotonicMs() - this.#last.atMs >= SHORTEST_MS) await this.#look();
    const { source, budget, budgetBytes, ratingBytes, lingerMs } = this.#options;
    const day = this.#day.total();
    const { processBytes, volumeBytes, diskBytes } = this.#known;
    const known = (count: number | undefined, amount: number): number | null =>
      count === undefined ? null : Math.round(perDay(day, amount));
    const diskPerDay = known(diskBytes, day.disk);
    const processPerDay = known(processBytes, day.process);
    const worn = diskPerDay ?? processPerDay;
    return {
      windowMs: Math.round(day.ms),
      device: 'unknown' in source.device ? null : source.device,
      deviceUnknown: 'unknown' in source.device ? source.device.unknown : null,
      processBytesPerDay: processPerDay,
      volumeBytesPerDay: known(volumeBytes, day.volume),
      diskBytesPerDay: diskPerDay,
      payloadBytesPerDay: Math.round(perDay(day, day.payload)),
      processAmplification:
        processBytes === undefined ? null : (ratio(day.process, day.payload) ?? null),
      diskAmplification: diskBytes === undefined ? null : (ratio(day.disk, day.payload) ?? null),
      commitsPerSecond: (ratio(this.#recent.commits, this.#recent.ms) ?? 0) * 1000,
      syncsPerSecond: (ratio(this.#recent.syncs, this.#recent.ms) ?? 0) * 1000,
      lingerMs: lingerMs(),
      budgetBytes: budgetBytes ?? null,
      budgetLevel: budget?.level ?? null,
      ratingBytes: ratingBytes ?? null,
      ratingYears:
        ratingBytes === undefined || worn === null
          ? null
          : (ratio(ratingBytes, worn * 365) ?? null),
    };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#look();
    await this.#save();
  }

  #arm(): void {
    if (this.#stopped) return;
    const { clock } = this.#options;
    this.#timer = clock.after(untilBeat(clock, LIMITS.wearSampleMs), () => void this.#tick());
  }

  async #tick(): Promise<void> {
    await this.#look();
    if (this.#options.clock.monotonicMs() - this.#savedMs >= LIMITS.wearSaveMs) await this.#save();
    this.#arm();
  }

  /** One look at a time; who asks meanwhile gets the same one. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const sample = await this.#sample();
    const ms = sample.atMs - this.#last.atMs;
    this.#recent = { ms, ...difference(sample, this.#last) };
    this.#last = sample;
    this.#take(ms, this.#recent);
  }

  #take(ms: number, amounts: WearAmounts): void {
    this.#day.add(ms, amounts);
    const { diskBytes } = this.#known;
    this.#options.budget?.spend(ms, diskBytes === undefined ? amounts.process : amounts.disk);
  }

  async #sample(): Promise<Sample> {
    const { source, counters, clock } = this.#options;
    this.#known = await source.read();
    // A count that can't be read for once has not moved.
    const { process: before, volume, disk } = this.#last;
    const { processBytes = before, volumeBytes = volume, diskBytes = disk } = this.#known;
    const { bytesAppended, commits, syncs, stateSyncs } = counters();
    return {
      atMs: clock.monotonicMs(),
      process: processBytes,
      volume: volumeBytes,
      disk: diskBytes,
      payload: bytesAppended,
      commits,
      syncs: syncs + stateSyncs,
    };
  }

  /**
   * The time without us counts too, as far as the wall clock tells, which may jump: after a day or
   * more the figures begin anew. The device went on counting if the machine did not stop.
   */
  async #restore(): Promise<void> {
    const { clock, source, budget } = this.#options;
    const stored = await this.#stored();
    if (typeof stored.budgetLevel === 'number') budget?.restore(stored.budgetLevel);
    const sample = await this.#sample();
    this.#last = sample;
    this.#savedMs = sample.atMs;
    const { savedMs, bootId } = stored;
    const awayMs = typeof savedMs === 'number' ? Math.max(0, clock.nowMs() - savedMs) : 0;
    const known = awayMs < DAY_MS;
    if (known) this.#day = WearDay.restore(stored.slots);
    const sameBoot = known && bootId !== '' && bootId === source.bootId;
    const since = (now: number, before: unknown): number =>
      sameBoot && typeof before === 'number' && before <= now ? now - before : 0;
    // What this process wrote so far, in opening the log, is its own; commits are those since then.
    this.#take(known ? awayMs : 0, {
      ...NOTHING_WRITTEN,
      process: sample.process,
      volume: since(sample.volume, stored.volumeBytes),
      disk: since(sample.disk, stored.diskBytes),
    });
  }

  async #stored(): Promise<Stored> {
    try {
      const bytes = await this.#options.space.get(KEY);
      const value: unknown = bytes === undefined ? {} : JSON.parse(Buffer.from(bytes).toString());
      return typeof value === 'object' && value !== null ? value : {};
    } catch (error) {
      this.#options.logger.warn(
        { event: 'wear.unread', error: messageOf(error) },
        'the figures of what was written in the last day can’t be read; they begin anew',
      );
      return {};
    }
  }

  async #save(): Promise<void> {
    const { space, source, budget, clock, logger } = this.#options;
    const { volumeBytes, diskBytes } = this.#known;
    const stored: Stored = {
      slots: this.#day.slots.map((slot) => ({ ...slot, ms: Math.round(slot.ms) })),
      savedMs: clock.nowMs(),
      bootId: source.bootId,
      ...(volumeBytes === undefined ? {} : { volumeBytes }),
      ...(diskBytes === undefined ? {} : { diskBytes }),
      ...(budget === undefined ? {} : { budgetLevel: budget.level }),
    };
    this.#savedMs = clock.monotonicMs();
    try {
      await space.put(KEY, Buffer.from(JSON.stringify(stored)));
    } catch (error) {
      logger.warn(
        { event: 'wear.unsaved', error: messageOf(error) },
        'the figures of what was written in the last day could not be stored',
      );
    }
  }
}

/** A count that went back began anew, as after a wrap or another device: then all of it is new. */
function difference(now: WearAmounts, before: WearAmounts): WearAmounts {
  const since = (field: keyof WearAmounts): number =>
    now[field] >= before[field] ? now[field] - before[field] : now[field];
  return {
    process: since('process'),
    volume: since('volume'),
    disk: since('disk'),
    payload: since('payload'),
    commits: since('commits'),
    syncs: since('syncs'),
  };
}
