import { assert } from '../assert.ts';
import { believedClock, type ClockTrust, unaskedTrust } from '../clock-trust.ts';
import { DropCount } from '../drop-count.ts';
import { LIMITS } from '../limits.ts';
import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { Catalog } from './catalog.ts';
import { CommitLog } from './commit-log.ts';
import { DamageReport } from './damage-report.ts';
import { CountedDatabase } from './counted-database.ts';
import { troubleOf } from './damage.ts';
import type { Engine } from './database.ts';
import { DiskGate } from './disk-gate.ts';
import { keepDisk } from './disk.ts';
import { DiskUsage } from './disk-usage.ts';
import { gapsGiven, gapsOutlet } from './ledger-outlet.ts';
import { refillLedger } from './ledger-refill.ts';
import { Ledger } from './ledger.ts';
import { identityOf, keepIdentity, sameIdentity } from './kept-identity.ts';
import { levelEngine } from './level-engine.ts';
import { openError } from './level-errors.ts';
import { LookEngine } from './look-engine.ts';
import type { LogKnowledge } from './log-knowledge.ts';
import type { ReadGap, Store, StoreIdentity } from './log.ts';
import { LogState } from './log-state.ts';
import { LogClock } from './log-clock.ts';
import { Lookup } from './lookup.ts';
import { tellLosses } from './lost-telling.ts';
import { LostSegments, lossesOf } from './lost-segments.ts';
import { OpenStore } from './open-store.ts';
import { openState, type OpenedState } from './open-state.ts';
import {
  applyStarts,
  forgetLostLog,
  guardSegments,
  newStarts,
  recoverLog,
  requireOwnFolder,
  startWithOldest,
  whichLog,
  writeMovedEnd,
} from './opening.ts';
import { Patience } from './patience.ts';
import { Positions } from './positions.ts';
import { requirePresence } from './presence.ts';
import { Reader } from './reader.ts';
import { Retention } from './retention.ts';
import { Scrub } from './scrub.ts';
import { Segments } from './segments.ts';
import { SyncMark } from './sync-mark.ts';
import {
  StateSpace,
  readIdentity,
  readPositionsLost,
  readStarts,
  startWrites,
  writePositionsLost,
  type StoredIdentity,
} from './state.ts';
import { Waiters } from './waiters.ts';
import { Writer } from './writer.ts';

export interface StoreOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** Whether the clock is to be believed; it MUST have been started. Without: as it is. */
  readonly trust?: ClockTrust;
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
  /** Id of this gateway: a folder remembers whose it is. `adopt`: it may have been another's. */
  readonly gateway?: string;
  /** A person chose that id: it must be the folder's. Otherwise the folder's own counts. */
  readonly gatewayGiven?: boolean;
  readonly adopt?: boolean;
  /** A folder without data is not made one: its disk is not mounted. */
  readonly mustExist?: boolean;
  /** Kept on the disk for positions, ledger and recovery; none by default. */
  readonly reserveBytes?: number;
  /** Cap of everything in the folder; undefined: the disk is the cap. */
  readonly maxBytes?: number | undefined;
  /** For looking into a folder whose agent does not run: nothing is created, appended or removed. */
  readonly readOnly?: boolean;
  /** False: what may take long throws STORE_SUSPECT; true by default. */
  readonly patient?: boolean;
  /** What the log stands on; LevelDB in `folder` unless a test says otherwise. */
  readonly engine?: Engine;
}

/**
 * Opens the data folder, or makes it, whatever is damaged in it. Throws GatelogError STORE_LOCKED,
 * STORE_FORMAT_NEWER, STORE_FOREIGN, and for what stands in the way of reading or writing at all
 * STORE_FORBIDDEN, STORE_READ_ONLY, STORE_FULL, STORE_MISSING, STORE_FAILING or STORE_UNAVAILABLE; who is not patient
 * STORE_SUSPECT too. Only a read-only look throws STORE_CORRUPT.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const engine = options.engine ?? engineOf(options);
  try {
    return await openOn(options, engine);
  } catch (error) {
    await engine.end?.();
    // A first write that failed, too.
    throw troubleOf(error) === undefined ? error : openError(options.folder, error);
  }
}

async function openOn(options: StoreOptions, engine: Engine): Promise<Store> {
  const { folder, logger } = options;
  const readOnly = options.readOnly ?? false;
  if (!readOnly && options.engine === undefined) {
    await requirePresence(folder, options.mustExist ?? false);
  }
  const trust = options.trust ?? unaskedTrust(options.clock, logger);
  const believed = believedClock(options.clock, trust);
  const patience = readOnly ? undefined : Patience.over(folder, options);
  const decided = { ...options, clock: believed, trust, readOnly, engine, patience };
  const opened = await openState(engine, decided, logger);
  const outcome = await openWith(decided, opened);
  if (outcome !== 'foreign state') {
    await engine.opened?.();
    return outcome;
  }
  await engine.setAside?.('state', { why: FOREIGN_STATE });
  const anew = await openState(engine, decided, logger);
  const store = await openWith(decided, { ...anew, damage: FOREIGN_STATE });
  assert(store !== 'foreign state', 'a new state database remembers no log');
  await engine.opened?.();
  return store;
}

function engineOf(options: StoreOptions): Engine {
  const { folder } = options;
  return options.readOnly === true
    ? new LookEngine(folder, options)
    : levelEngine(folder, false, options);
}

const EMPTIED_STATE = 'it was gone or empty, and there is a log';
const FOREIGN_STATE = 'the state database is of another log than all segments';

/** Closes everything again when it fails. */
async function openWith(
  options: DecidedOptions,
  opened: OpenedState,
): Promise<Store | 'foreign state'> {
  const database = new CountedDatabase(opened.database);
  const segments = new Segments(options.engine, options.patience);
  const close = async (): Promise<void> => {
    await segments.close();
    await database.close();
  };
  try {
    const known = await readIdentity(database, options.folder);
    const catalog = await Catalog.load(database);
    const mark = await SyncMark.load(database, options.logger);
    options.engine.knowledge = () => rememberedOf(catalog, mark.synced(known?.incarnation));
    await segments.load(catalog.known);
    const { incarnation, stateIsOdd } = await whichLog(segments, known?.incarnation);
    if (stateIsOdd && !options.readOnly) {
      await close();
      return 'foreign state';
    }
    guardSegments(segments, incarnation);
    const isEmptied = known === undefined && incarnation !== undefined;
    const odd = stateIsOdd ? FOREIGN_STATE : undefined;
    const damage = opened.damage ?? (isEmptied ? EMPTIED_STATE : odd);
    const begun = { database, damage, segments, catalog, mark, known };
    return await openLog(options, begun);
  } catch (error) {
    await close();
    throw error;
  }
}

/** As long as the log is not open. A segment is synced before the next one holds anything. */
function rememberedOf({ end, known }: Catalog, synced: number = 0): LogKnowledge {
  const sealed = Math.max(0, ...known) - 1;
  return { synced: Math.max(synced, sealed), topics: end?.checkpoint.topics ?? [] };
}

/** From then on. */
function liveOf({ durableCommit, registry }: LogState): LogKnowledge {
  return { synced: durableCommit, topics: registry.all() };
}

interface Begun {
  readonly database: CountedDatabase;
  /** What is wrong with it. */
  readonly damage: string | undefined;
  readonly segments: Segments;
  readonly catalog: Catalog;
  readonly mark: SyncMark;
  readonly known: StoredIdentity | undefined;
}

type DecidedOptions = StoreOptions &
  Required<Pick<StoreOptions, 'engine' | 'readOnly' | 'trust'>> & {
    readonly patience: Patience | undefined;
  };

async function openLog(options: DecidedOptions, begun: Begun): Promise<Store> {
  const { clock, logger, readOnly } = options;
  const requireOwn = (isNameKnown: boolean): void => {
    if (options.gatewayGiven === false || options.adopt === true) return;
    requireOwnFolder(options.folder, begun.known, options.gateway, isNameKnown);
  };
  requireOwn(false);
  const loaded = await load(options, begun);
  requireOwn(loaded.positions.hadReaders);
  const { state, segments, lookup, waiters, positions, log, ledger, lost } = loaded;
  const { logClock } = loaded;
  const identity = readOnly
    ? await lookAt(options, begun, loaded)
    : await recover(options, begun, loaded);
  const onDamage = readOnly ? undefined : (gaps: readonly ReadGap[]) => lost.damaged(gaps);
  const reader = new Reader({ state, segments, lookup, waiters, logger, onDamage });
  const stored = { state, segments, lookup, ledger };
  const kept = { ...stored, positions, log };
  const retention = new Retention({ ...kept, clock: logClock, logger });
  const usage = new DiskUsage(options.engine, segments, clock, logger);
  const keeper = await keepDisk({ ...loaded, ...options, retention, usage }, options);
  const notes = new StateSpace(begun.database, 'scrub');
  const scrub = new Scrub({ ...options, ...stored, report: loaded.report, notes });
  await scrub.begin(isClean(begun.catalog, state));
  const { retentionSchedule, scrubSchedule } = options;
  return new OpenStore(
    {
      ...loaded,
      engine: options.engine,
      identity,
      stateDamage: begun.damage,
      reader,
      retention,
      scrub,
      usage,
      keeper,
      readOnly,
    },
    readOnly ? {} : { retentionSchedule, scrubSchedule },
    { clock, logger },
  );
}

/** Nothing of the log, or all that was there at a clean close. */
function isClean({ end }: Catalog, state: LogState): boolean {
  return end === undefined || (end.clean && end.checkpoint.commit === state.lastCommit);
}

/** What stands in the state database, and the parts that need nothing of the log yet. */
async function load(options: DecidedOptions, begun: Begun) {
  const { database, damage, segments, catalog, mark } = begun;
  const { clock, logger, readOnly } = options;
  if (damage !== undefined && !readOnly) await writePositionsLost(database, Infinity);
  segments.beforeRemoval = (first) => catalog.removed(first);
  const idleMs = options.ledgerIdleMs ?? LIMITS.ledgerIdleMs;
  const ledger = await Ledger.load({ database, clock, logger, idleMs, isAllWanted: readOnly });
  const state = new LogState();
  const logClock = await LogClock.load(options, state.boots, new StateSpace(database, 'clock'));
  const lookup = new Lookup(segments, state);
  const log = new CommitLog({
    segments,
    state,
    logger,
    clock: logClock,
    readOnly,
    segmentBytes: options.segmentBytes ?? LIMITS.segmentBytes,
    compression: options.compression ?? 'zstd',
    note: (first, checkpoint) => catalog.note(first, checkpoint),
    onBegun: (checkpoint) => lookup.begun(checkpoint),
    onLost: (lost) => ledger.record(lossesOf(lost, state, LOST_BY_DISK)),
  });
  const waiters = new Waiters();
  const gate = new DiskGate();
  const drops = new DropCount({ record: (losses) => ledger.record(losses), clock, logger });
  const onForgotten = (stream: number, bytes: number): void =>
    drops.add(state.registry.topicOf(stream)?.name ?? '', bytes, FORGOTTEN);
  const lingerMs = providerOf(options.lingerMs ?? 0);
  const onDurable = (): void => {
    mark.renew();
    waiters.wake();
  };
  const parts = { log, state, clock, logger, lingerMs, readOnly, gate };
  const writer = new Writer({ ...parts, onDurable, onForgotten });
  const positions = new Positions({
    database,
    topicsDurable: () => writer.topicsDurable(),
    lostBelow: await readPositionsLost(database),
  });
  await positions.load();
  const starts = await readStarts(database);
  const report = new DamageReport({ state, segments, lookup, ledger, logger });
  const lost = new LostSegments({ segments, lookup, state, ledger, catalog, report, logger });
  const books = { database, catalog, mark, segments, positions, starts, lookup, ledger, report };
  return { ...books, lost, state, log, writer, waiters, logClock, logger, gate, drops };
}

const LOST_BY_DISK = 'the disk lost them when a later write failed';
const FORGOTTEN = 'records of class none were in memory only when a write failed';

type Loaded = Awaited<ReturnType<typeof load>>;

async function lookAt(
  options: DecidedOptions,
  begun: Begun,
  loaded: Loaded,
): Promise<StoreIdentity> {
  const { log, ledger, state, starts } = loaded;
  const { identity: found } = await log.open(begun.catalog.end?.checkpoint);
  options.engine.knowledge = () => liveOf(state);
  const identity = identityOf(options, begun.known, found);
  ledger.incarnation = identity.incarnation;
  applyStarts(state, starts);
  if (begun.damage !== undefined) await startWithOldest(loaded);
  // What is looked at is a copy where it could be damaged.
  if (begun.damage !== undefined && options.engine.repairState !== undefined) {
    await refillLedger({ ...loaded, clock: options.clock }, identity.incarnation, Infinity);
  }
  return identity;
}

/** The losses are told before anything else is written: a crash in between tells them again. */
async function recover(
  options: DecidedOptions,
  { damage, database, known }: Begun,
  loaded: Loaded,
): Promise<StoreIdentity> {
  const { state, log, segments, catalog, positions, starts, ledger, lost, writer, logger } = loaded;
  const { mark } = loaded;
  const recovered = await recoverLog(loaded, damage === undefined);
  options.engine.knowledge = () => liveOf(state);
  if (recovered.identity === undefined && known !== undefined) {
    ledger.incarnation = known.incarnation;
    await forgetLostLog(database, positions, starts, logger);
  }
  const identity = identityOf(options, known, recovered.identity);
  ledger.incarnation = identity.incarnation;
  guardSegments(segments, identity.incarnation);
  if (damage !== undefined) {
    await database.write(startWrites(newStarts(state, starts)));
    await refillLedger({ ...loaded, clock: options.clock }, identity.incarnation, LIMITS.refillMs);
  }
  await tellLosses(recovered, damage, loaded);
  if (positions.lostBelow === Infinity) {
    await positions.counted(state.registry.streams);
    await writePositionsLost(database, positions.lostBelow);
  }
  if (!sameIdentity(known, identity)) await keepIdentity(options, known, identity, database);
  await catalog.opened(segments.firsts, recovered.lostBetween, log.describe(identity));
  await loaded.logClock.begin();
  mark.begin(state, identity.incarnation, database);
  segments.onNewFile = () => mark.newFile();
  database.mark = mark;
  await log.start(identity);
  if (recovered.isMoved) await writeMovedEnd(log, logger);
  const outlet = gapsOutlet(writer, state, { positions, log, lookup: loaded.lookup });
  ledger.begin(gapsGiven(state), outlet);
  lost.missing(recovered.lostBetween);
  segments.onUnopenable = (first, error) => lost.unopenable(first, error);
  return identity;
}

function providerOf(value: number | (() => number)): () => number {
  return typeof value === 'number' ? () => value : value;
}
