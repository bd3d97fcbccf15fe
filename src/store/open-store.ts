import type { DropCount } from '../drop-count.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { Catalog } from './catalog.ts';
import type { CommitLog } from './commit-log.ts';
import type { CountedDatabase } from './counted-database.ts';
import type { Engine } from './database.ts';
import type { DiskKeeper } from './disk-keeper.ts';
import type { DiskUsage } from './disk-usage.ts';
import type { Ledger } from './ledger.ts';
import type {
  LogReader,
  LogWriter,
  LossLedger,
  OrderedSpace,
  PositionStore,
  Store,
  StoreCounters,
  StoreIdentity,
} from './log.ts';
import type { LogClock } from './log-clock.ts';
import type { LogState } from './log-state.ts';
import type { LostSegments } from './lost-segments.ts';
import type { Positions } from './positions.ts';
import type { Retention } from './retention.ts';
import { scheduled, type Schedule } from './schedule.ts';
import type { Scrub } from './scrub.ts';
import type { Segments } from './segments.ts';
import { StateSpace, writePositionsLost } from './state.ts';
import type { SyncMark } from './sync-mark.ts';
import type { Waiters } from './waiters.ts';
import type { Writer } from './writer.ts';

/** What an open store is made of. */
export interface StoreParts {
  readonly engine: Engine;
  readonly identity: StoreIdentity;
  readonly writer: Writer;
  readonly reader: LogReader;
  readonly positions: Positions;
  readonly database: CountedDatabase;
  readonly segments: Segments;
  readonly state: LogState;
  readonly log: CommitLog;
  readonly ledger: Ledger;
  readonly stateDamage: string | undefined;
  readonly retention: Retention;
  readonly scrub: Scrub;
  readonly usage: DiskUsage;
  readonly keeper: DiskKeeper;
  readonly drops: DropCount;
  readonly waiters: Waiters;
  readonly readOnly: boolean;
  readonly catalog: Catalog;
  readonly lost: LostSegments;
  readonly logClock: LogClock;
  readonly mark: SyncMark;
}

/** The parts, behind the door of log.ts. */
export class OpenStore implements Store {
  readonly #parts: StoreParts;
  readonly #schedules: readonly Schedule[];
  readonly #logger: Logger;
  readonly #clock: Clock;
  #closing: Promise<void> | undefined;

  constructor(
    parts: StoreParts,
    schedules: {
      readonly retentionSchedule?: string | undefined;
      readonly scrubSchedule?: string | undefined;
    },
    surroundings: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.#parts = parts;
    this.#logger = surroundings.logger;
    this.#clock = surroundings.clock;
    const task = (name: string, cron: string | undefined, run: () => Promise<void>): Schedule[] =>
      cron === undefined ? [] : [scheduled(name, cron, run, surroundings)];
    this.#schedules = [
      ...task('retention', schedules.retentionSchedule, () => this.retain()),
      ...task('the check of the stored log', schedules.scrubSchedule, () => parts.scrub.run()),
    ];
  }

  get identity(): StoreIdentity {
    return this.#parts.identity;
  }

  get writer(): LogWriter {
    return this.#parts.writer;
  }

  get reader(): LogReader {
    return this.#parts.reader;
  }

  positions(name: string, { pins }: { readonly pins?: boolean }): Promise<PositionStore> {
    return this.#parts.positions.open(name, pins);
  }

  forgetPositions(name: string): Promise<void> {
    return this.#parts.positions.forget(name);
  }

  keyValue(space: string): OrderedSpace {
    return new StateSpace(this.#parts.database, space);
  }

  get ledger(): LossLedger {
    return this.#parts.ledger;
  }

  get stateDamage(): string | undefined {
    return this.#parts.stateDamage;
  }

  async retain(): Promise<void> {
    const { retention, usage, waiters, readOnly } = this.#parts;
    if (readOnly || this.#closing !== undefined) return;
    await retention.run();
    await usage.measure();
    waiters.wake(); // A reader before the new start has a gap to be told.
  }

  async scrub(): Promise<void> {
    const { scrub, readOnly } = this.#parts;
    if (!readOnly && this.#closing === undefined) await scrub.check();
  }

  counters(): StoreCounters {
    const { state, segments, retention, scrub, usage, keeper, ledger, database, writer } =
      this.#parts;
    if (!this.#parts.readOnly && this.#closing === undefined) keeper.touch();
    return {
      trouble: writer.trouble,
      recordsAppended: state.recordsAppended,
      bytesAppended: state.bytesAppended,
      commits: state.commits,
      commitLatency: writer.meter.commits.status(),
      appendLatency: writer.meter.appends.status(),
      syncs: state.syncs,
      stateSyncs: database.syncs,
      recordsDropped: retention.dropped.records,
      bytesDropped: retention.dropped.bytes,
      segments: segments.count,
      diskBytes: usage.bytes(),
      disk: keeper.status(),
      scrub: scrub.status(),
      losses: ledger.totals(),
    };
  }

  async measured(): Promise<StoreCounters> {
    const { usage, keeper } = this.#parts;
    const done = new AbortController();
    const looked = Promise.all([usage.measured(), keeper.measured()]);
    await Promise.race([looked, this.#clock.sleep(LIMITS.statusDiskMs, done.signal)]);
    done.abort();
    return this.counters();
  }

  async answered(): Promise<void> {
    const { writer, database } = this.#parts;
    const settled = new Promise<void>((resolve) => writer.settled(() => resolve()));
    await Promise.all([writer.recovered(), settled, database.answered()]);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { writer, log, retention, ledger, usage, waiters, database, readOnly } = this.#parts;
    const { lost, catalog, mark, scrub, logClock, keeper, drops, engine } = this.#parts;
    for (const schedule of this.#schedules) await schedule.stop();
    await scrub.stop();
    await keeper.close();
    await retention.settled();
    await lost.settled();
    await ledger.close();
    await writer.close();
    await usage.settled();
    waiters.close();
    await log.close();
    await drops.close();
    if (!readOnly) await this.#rememberEnd();
    await catalog.settled();
    await mark.settled();
    await logClock.close();
    await database.close();
    await engine.end?.();
  }

  /** What was written and not synced is not remembered. */
  async #rememberEnd(): Promise<void> {
    const { log, identity, catalog, database } = this.#parts;
    try {
      if (!log.unsynced) await catalog.closed(log.describe(identity));
      await writePositionsLost(database, 0);
    } catch (error) {
      this.#logger.error({ error: messageOf(error) }, 'the end of the log could not be noted');
    }
  }
}
