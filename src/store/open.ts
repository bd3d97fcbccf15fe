import { must } from '../assert.ts';
import { messageOf } from '../errors.ts';
import { NO_HEADERS } from '../headers.ts';
import { LIMITS } from '../limits.ts';
import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { CommitLog, type LogIdentity } from './commit-log.ts';
import { CountedDatabase } from './counted-database.ts';
import type { Database, Engine } from './database.ts';
import { DiskReserve } from './disk-reserve.ts';
import { DiskUsage } from './disk-usage.ts';
import { gapRecord } from './ledger-entry.ts';
import { Ledger, type LedgerOutlet } from './ledger.ts';
import { levelEngine } from './level-engine.ts';
import type {
  KeyValue,
  LogReader,
  LogWriter,
  LossLedger,
  PositionStore,
  Store,
  StoreCounters,
  StoreIdentity,
} from './log.ts';
import { LogState } from './log-state.ts';
import { Lookup } from './lookup.ts';
import { Positions } from './positions.ts';
import { Reader } from './reader.ts';
import { Retention } from './retention.ts';
import { scheduled, type Schedule } from './schedule.ts';
import { Scrub } from './scrub.ts';
import { Segments } from './segments.ts';
import {
  FORMAT_VERSION,
  StateSpace,
  forgetStarts,
  readIdentity,
  readLastCommit,
  readStarts,
  writeIdentity,
  writeLastCommit,
  type StoredIdentity,
  type StreamStart,
} from './state.ts';
import { Waiters } from './waiters.ts';
import { Writer } from './writer.ts';

export interface StoreOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** A segment is followed by a new one at this size. */
  readonly segmentBytes?: number;
  /** How long the first append of a commit waits for others; 0 by default. */
  readonly lingerMs?: number | (() => number);
  readonly compression?: 'zstd' | 'none';
  /** When retention runs, as cron has it; undefined: only when `retain` is called. */
  readonly retentionSchedule?: string | undefined;
  /** When everything stored is checked, as cron has it; undefined: only when `scrub` is called. */
  readonly scrubSchedule?: string | undefined;
  /** How fast it is read for that; LIMITS.scrubBytesPerSecond by default. */
  readonly scrubBytesPerSecond?: number;
  /** An entry of the loss ledger that has not grown for so long is closed; by default 2 min. */
  readonly ledgerIdleMs?: number;
  /** For looking into a folder whose agent does not run: nothing is created, appended or removed. */
  readonly readOnly?: boolean;
  /** What the log stands on; LevelDB in `folder` unless a test says otherwise. */
  readonly engine?: Engine;
}

/**
 * Opens the data folder, or makes it. Throws GatelogError STORE_LOCKED, STORE_FORMAT_NEWER,
 * STORE_UNAVAILABLE or STORE_CORRUPT.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const readOnly = options.readOnly ?? false;
  const engine = options.engine ?? levelEngine(options.folder, readOnly, options.logger);
  const database = new CountedDatabase(await engine.openState());
  const segments = new Segments(engine);
  try {
    return await openLog({ ...options, readOnly, engine }, database, segments);
  } catch (error) {
    await segments.close();
    await database.close();
    throw error;
  }
}

type DecidedOptions = StoreOptions & { readonly engine: Engine; readonly readOnly: boolean };

async function openLog(
  options: DecidedOptions,
  database: CountedDatabase,
  segments: Segments,
): Promise<Store> {
  const { clock, logger, readOnly, engine, ledgerIdleMs: idleMs = LIMITS.ledgerIdleMs } = options;
  const known = await readIdentity(database, options.folder);
  await segments.load();
  const ledger = await Ledger.load({ database, clock, logger, idleMs });
  const state = new LogState();
  const lastAtClose = await readLastCommit(database);
  const log = new CommitLog({
    segments,
    state,
    logger,
    readOnly,
    segmentBytes: options.segmentBytes ?? LIMITS.segmentBytes,
    compression: options.compression ?? 'zstd',
  });
  const found = await log.open();
  ledger.incarnation = found?.incarnation ?? known?.incarnation ?? '';
  const clean = found === undefined || lastAtClose === state.lastCommit;
  const waiters = new Waiters();
  const reserve = new DiskReserve(engine, clock, logger);
  if (!readOnly) await reserve.check();
  const writer = new Writer({
    log,
    state,
    clock,
    logger,
    lingerMs: providerOf(options.lingerMs ?? 0),
    readOnly,
    reserve,
    onDurable: () => waiters.wake(),
  });
  const positions = new Positions({ database, topicsDurable: () => writer.topicsDurable() });
  await positions.load();
  const identity = identityOf(options, known, found);
  const starts = await readStarts(database);
  if (readOnly) {
    applyStarts(state, starts);
  } else {
    if (found === undefined && known !== undefined) {
      await forgetLostLog(database, positions, starts, logger);
    } else {
      applyStarts(state, starts);
      const skipped = skipLost(state, lastAtClose, logger);
      const raised = raiseToPositions(state, positions, logger);
      // Heads moved beyond what the log says: the next commit says so.
      if (skipped || raised) log.checkpointSoon();
    }
    if (known?.incarnation !== identity.incarnation) await writeIdentity(database, identity);
    await log.start(identity);
    ledger.incarnation = identity.incarnation;
    ledger.begin(state.producers.last(GAPS) + 1, gapsOutlet(writer, state));
  }
  const lookup = new Lookup(segments, state);
  const reader = new Reader({ state, segments, lookup, waiters, logger });
  const stored = { state, segments, lookup, ledger };
  const retention = new Retention({ ...stored, positions, log, clock, logger });
  const usage = new DiskUsage(segments, clock, logger);
  const notes = new StateSpace(database, 'scrub');
  const scrub = new Scrub({ ...options, ...stored, notes });
  await scrub.begin(clean);
  const parts = { identity, writer, reader, positions, database, segments, state, log, ledger };
  return new OpenStore({ ...parts, retention, scrub, usage, waiters, readOnly }, options);
}

/** The topic of the loss ledger, and the producer that its records come from. */
const GAPS = '_gaps';

/** The topic is made with the first entry. As a centre this gateway may have one already, of others. */
function gapsOutlet(writer: Writer, state: LogState): LedgerOutlet {
  return (number, entry) => {
    const known = state.registry.get(GAPS);
    const topic = writer.defineTopic(GAPS, {
      partitions: known?.options.partitions ?? 1,
      durability: 'fsync',
      retentionMs: LIMITS.gapsRetentionMs,
      retentionBytes: LIMITS.gapsBytes,
    });
    const stream = must(topic.streams[0], 'a topic has a partition');
    const { key, value } = gapRecord(entry);
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
      const { untilMs } = entry;
      writer.appendOnce(GAPS, number, stream, untilMs, key, value, NO_HEADERS, 'fsync', done);
    });
  };
}

function providerOf(value: number | (() => number)): () => number {
  return typeof value === 'number' ? () => value : value;
}

function identityOf(
  { random, clock }: StoreOptions,
  known: StoredIdentity | undefined,
  found: LogIdentity | undefined,
): StoreIdentity {
  // The log's own word counts: a state database may be lost and made anew.
  return {
    formatVersion: FORMAT_VERSION,
    incarnation: found?.incarnation ?? random.hex(8),
    createdMs: found?.createdMs ?? known?.createdMs ?? clock.nowMs(),
  };
}

/** Offsets begin anew, so what was said of the old ones is put away with the old incarnation. */
async function forgetLostLog(
  database: Database,
  positions: Positions,
  starts: ReadonlyMap<number, StreamStart>,
  logger: Logger,
): Promise<void> {
  logger.error(
    {},
    'the data folder knows a log and holds none: the log begins anew, as a new incarnation',
  );
  await positions.forgetAll();
  await forgetStarts(database, starts.keys());
}

function applyStarts(state: LogState, starts: ReadonlyMap<number, StreamStart>): void {
  for (const [stream, { offset, storedBefore }] of starts) {
    state.heads.ensure(stream + 1);
    state.heads.start[stream] = offset;
    state.heads.storedBefore[stream] = storedBefore;
  }
}

/** LevelDB leaves out damaged commits at its end without a trace; a clean close remembers the last. */
function skipLost(state: LogState, last: number | undefined, logger: Logger): boolean {
  if (last === undefined || state.lastCommit >= last) return false;
  logger.error(
    { fromCommit: state.lastCommit + 1, toCommit: last + 1 },
    'the log ends before the last commit at its clean close: synced records are gone from the ' +
      'disk; every partition goes on after the offsets they may have held',
  );
  state.skip(last - state.lastCommit);
  state.lastCommit = last;
  state.heads.forgetPending();
  state.allDurable();
  return true;
}

/**
 * A reader had more than the log holds: the disk took back what it had confirmed. Offsets that were
 * seen outside are never given out again.
 */
function raiseToPositions(state: LogState, positions: Positions, logger: Logger): boolean {
  let raised = false;
  for (const [stream, position] of positions.highest()) {
    state.heads.ensure(stream + 1);
    const end = state.heads.committed[stream] ?? 0;
    if (position <= end) continue;
    logger.error(
      { stream, endOffset: end, position },
      'the log ends before a position that a reader reached: synced records are gone from the ' +
        'disk; the partition goes on after that position',
    );
    state.heads.committed[stream] = position;
    raised = true;
  }
  if (raised) {
    state.heads.forgetPending();
    state.heads.allDurable();
  }
  return raised;
}

interface Parts {
  readonly identity: StoreIdentity;
  readonly writer: Writer;
  readonly reader: LogReader;
  readonly positions: Positions;
  readonly database: CountedDatabase;
  readonly segments: Segments;
  readonly state: LogState;
  readonly log: CommitLog;
  readonly ledger: Ledger;
  readonly retention: Retention;
  readonly scrub: Scrub;
  readonly usage: DiskUsage;
  readonly waiters: Waiters;
  readonly readOnly: boolean;
}

class OpenStore implements Store {
  readonly #parts: Parts;
  readonly #schedules: readonly Schedule[];
  readonly #logger: Logger;
  #closing: Promise<void> | undefined;

  constructor(parts: Parts, { retentionSchedule, scrubSchedule, logger }: StoreOptions) {
    this.#parts = parts;
    this.#logger = logger;
    const task = (name: string, cron: string | undefined, run: () => Promise<void>): Schedule[] =>
      cron === undefined || parts.readOnly ? [] : [scheduled(name, cron, run, logger)];
    this.#schedules = [
      ...task('retention', retentionSchedule, () => this.retain()),
      ...task('the check of the stored log', scrubSchedule, () => parts.scrub.run()),
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

  positions(name: string, { pins }: { readonly pins: boolean }): Promise<PositionStore> {
    return this.#parts.positions.open(name, pins);
  }

  forgetPositions(name: string): Promise<void> {
    return this.#parts.positions.forget(name);
  }

  keyValue(space: string): KeyValue {
    return new StateSpace(this.#parts.database, space);
  }

  get ledger(): LossLedger {
    return this.#parts.ledger;
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
    const { state, segments, retention, scrub, usage, ledger, database } = this.#parts;
    return {
      recordsAppended: state.recordsAppended,
      bytesAppended: state.bytesAppended,
      commits: state.commits,
      syncs: state.syncs,
      stateSyncs: database.syncs,
      recordsDropped: retention.dropped.records,
      bytesDropped: retention.dropped.bytes,
      segments: segments.count,
      diskBytes: usage.bytes(),
      scrub: scrub.status(),
      losses: ledger.totals(),
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { writer, log, retention, scrub, ledger, usage, waiters, database, readOnly } =
      this.#parts;
    for (const schedule of this.#schedules) await schedule.stop();
    await scrub.stop();
    await retention.settled();
    await ledger.close();
    await writer.close();
    await usage.settled();
    waiters.close();
    await log.close();
    if (!readOnly) await this.#rememberEnd();
    await database.close();
  }

  async #rememberEnd(): Promise<void> {
    const { state, database } = this.#parts;
    try {
      await writeLastCommit(database, state.durableCommit);
    } catch (error) {
      this.#logger.error({ error: messageOf(error) }, 'the end of the log could not be noted');
    }
  }
}
