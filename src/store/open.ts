import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { CommitLog } from './commit-log.ts';
import type { Database, Engine } from './database.ts';
import { levelEngine } from './level-engine.ts';
import type {
  KeyValue,
  LogReader,
  LogWriter,
  PositionStore,
  Store,
  StoreCounters,
  StoreIdentity,
} from './log.ts';
import { LogState } from './log-state.ts';
import { Lookup } from './lookup.ts';
import { Positions } from './positions.ts';
import { Reader } from './reader.ts';
import { Segments } from './segments.ts';
import { FORMAT_VERSION, StateSpace, readIdentity, readStarts, writeIdentity } from './state.ts';
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
  readonly lingerMs?: number;
  readonly compression?: 'zstd' | 'none';
  /** When retention runs, as cron has it; undefined: only when `retain` is called. */
  readonly retentionSchedule?: string | undefined;
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
  const engine = options.engine ?? levelEngine(options.folder, readOnly);
  const database = await engine.openState();
  const segments = new Segments(engine);
  try {
    return await openLog(options, database, segments, readOnly);
  } catch (error) {
    await segments.close();
    await database.close();
    throw error;
  }
}

async function openLog(
  options: StoreOptions,
  database: Database,
  segments: Segments,
  readOnly: boolean,
): Promise<Store> {
  const { clock, logger, random } = options;
  const known = await readIdentity(database, options.folder);
  await segments.load();
  const state = new LogState();
  const log = new CommitLog({
    segments,
    state,
    logger,
    readOnly,
    segmentBytes: options.segmentBytes ?? LIMITS.segmentBytes,
    compression: options.compression ?? 'zstd',
  });
  const found = await log.open();
  const identity: StoreIdentity = {
    formatVersion: FORMAT_VERSION,
    incarnation: found?.incarnation ?? known?.incarnation ?? random.hex(8),
    createdMs: found?.createdMs ?? known?.createdMs ?? clock.nowMs(),
  };
  for (const [stream, offset] of await readStarts(database)) state.heads.start[stream] = offset;
  const waiters = new Waiters();
  const writer = new Writer({
    log,
    state,
    clock,
    logger,
    lingerMs: options.lingerMs ?? 0,
    onDurable: () => waiters.wake(),
  });
  const positions = new Positions({ database, topicsDurable: () => writer.topicsDurable() });
  await positions.load();
  if (!readOnly) {
    if (known?.incarnation !== identity.incarnation) await writeIdentity(database, identity);
    await log.start(identity);
  }
  const reader = new Reader({ state, segments, lookup: new Lookup(segments), waiters });
  return new OpenStore({ identity, writer, reader, positions, database, segments, state, log });
}

interface Parts {
  readonly identity: StoreIdentity;
  readonly writer: Writer;
  readonly reader: LogReader;
  readonly positions: Positions;
  readonly database: Database;
  readonly segments: Segments;
  readonly state: LogState;
  readonly log: CommitLog;
}

class OpenStore implements Store {
  readonly #parts: Parts;
  #closing: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
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

  async retain(): Promise<void> {
    throw new GatelogError('INTERNAL', 'retention is not there yet');
  }

  counters(): StoreCounters {
    const { state, segments } = this.#parts;
    return {
      recordsAppended: state.recordsAppended,
      bytesAppended: state.bytesAppended,
      commits: state.commits,
      recordsDropped: 0,
      bytesDropped: 0,
      segments: segments.count,
      diskBytes: 0,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#parts.writer.close();
    await this.#parts.log.close();
    await this.#parts.database.close();
  }
}
