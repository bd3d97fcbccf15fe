import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LedgerEntry } from '../../src/loss.ts';
import { seededRandom } from '../../src/random.ts';
import { systemCodeOf } from '../../src/errors.ts';
import type { Durability, LogRecord, StreamId } from '../../src/record.ts';
import type { LogCursor, ReadGap, Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import { openStore, type StoreOptions } from '../../src/store/open.ts';
import { silentLogger, type LogFields, type Logger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { MemoryDisk, memoryEngine } from './memory-engine.ts';

/** What tests of the store need again and again. */
export const NONE: Uint8Array = new Uint8Array(0);

export const FOREVER: TopicOptions = {
  partitions: 2,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};

/** A place for one store: opening it again finds what was there. */
export interface Place {
  readonly folder: string;
  open(overrides?: Partial<StoreOptions>): Promise<Store>;
  remove(): Promise<void>;
}

export interface PlaceFactory {
  readonly name: string;
  make(): Promise<Place>;
}

const defaults = (folder: string): StoreOptions => ({
  folder,
  clock: systemClock,
  random: seededRandom(1),
  logger: silentLogger,
});

export const onDisk: PlaceFactory = {
  name: 'LevelDB on disk',
  make: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gatelog-store-'));
    return {
      folder,
      open: (overrides) => openStore({ ...defaults(folder), ...overrides }),
      remove: () => rm(folder, { recursive: true, force: true }),
    };
  },
};

export const inMemory: PlaceFactory = {
  name: 'memory',
  make: async () => {
    const disk = new MemoryDisk();
    return {
      folder: 'memory',
      open: (overrides) =>
        openStore({ ...defaults('memory'), engine: memoryEngine(disk), ...overrides }),
      remove: async () => {},
    };
  },
};

export interface Appended {
  readonly key?: Uint8Array | null;
  readonly value?: Uint8Array | null;
  readonly headers?: Uint8Array;
  readonly timestampMs?: number;
  readonly durability?: Durability;
}

/** Resolves with the offset. */
export function append(store: Store, stream: StreamId, record: Appended = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    store.writer.append(
      stream,
      record.timestampMs ?? 1000,
      record.key ?? null,
      record.value ?? null,
      record.headers ?? NONE,
      record.durability ?? 'fsync',
      (error, offset) => (error === null ? resolve(offset) : reject(error)),
    );
  });
}

export function appendOnce(
  store: Store,
  producer: string,
  sequence: number,
  stream: StreamId,
  value: Uint8Array,
  timestampMs: number = 1,
): Promise<number> {
  return new Promise((resolve, reject) => {
    store.writer.appendOnce(
      producer,
      sequence,
      stream,
      timestampMs,
      null,
      value,
      NONE,
      'fsync',
      (e, offset) => (e === null ? resolve(offset) : reject(e)),
    );
  });
}

/** `count` records of `bytes` incompressible bytes, in commits of `perCommit`. */
export async function fill(
  store: Store,
  { streams }: TopicInfo,
  count: number,
  options: { readonly bytes?: number; readonly perCommit?: number; readonly timeMs?: number } = {},
): Promise<void> {
  const random = seededRandom(count);
  const perCommit = options.perCommit ?? 10;
  for (let done = 0; done < count; done += perCommit) {
    const commit = [];
    for (let index = done; index < Math.min(count, done + perCommit); index++) {
      const stream = streams[index % streams.length] as StreamId;
      const value = Buffer.from(random.hex(options.bytes ?? 100), 'hex');
      commit.push(append(store, stream, { value, timestampMs: options.timeMs ?? 1000 + index }));
    }
    await Promise.all(commit);
  }
}

/** The loss ledger. */
export async function entriesOf({ ledger }: Store): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for await (const entry of ledger.entries()) entries.push(entry);
  return entries;
}

export interface Drained {
  readonly records: Map<StreamId, LogRecord[]>;
  readonly gaps: ReadGap[];
}

/** With all its fields as its own, so that a comparison sees them. */
function copyOf({ offset, timestampMs, time, key, value, headers }: LogRecord): LogRecord {
  const noted = time === undefined ? {} : { time };
  return { offset, timestampMs, ...noted, key, value, headers };
}

/** Everything there is for the cursor now. */
export async function drain(
  cursor: LogCursor,
  limits: { readonly maxRecords: number; readonly maxBytes: number } = {
    maxRecords: 1000,
    maxBytes: 100_000,
  },
): Promise<Drained> {
  const records = new Map<StreamId, LogRecord[]>();
  const gaps: ReadGap[] = [];
  for (;;) {
    const batch = await cursor.next(limits);
    gaps.push(...batch.gaps);
    for (const slice of batch.slices) {
      const known = records.get(slice.stream) ?? [];
      known.push(...slice.records.map(copyOf));
      records.set(slice.stream, known);
    }
    if (batch.slices.length === 0 && batch.gaps.length === 0) return { records, gaps };
  }
}

export async function readAll(store: Store, streams: readonly StreamId[]): Promise<Drained> {
  const cursor = store.reader.cursor(new Map(streams.map((stream) => [stream, 0])));
  const drained = await drain(cursor);
  await cursor.close();
  return drained;
}

export function text(bytes: Uint8Array | null | undefined): string | null {
  return bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString('utf8');
}

export interface LoggedLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: LogFields;
  readonly message: string;
}

export interface RememberingLogger extends Logger {
  readonly lines: LoggedLine[];
}

export function rememberingLogger(): RememberingLogger {
  const lines: LoggedLine[] = [];
  const at =
    (level: LoggedLine['level']) =>
    (fields: LogFields, message: string): void => {
      lines.push({ level, fields, message });
    };
  const logger: RememberingLogger = {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  };
  return logger;
}

/** Bytes of all files below; what is removed meanwhile has none. */
export async function folderSize(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map(async ({ parentPath, name }) => {
      const found = await stat(join(parentPath, name)).catch((error: unknown) => {
        if (systemCodeOf(error) !== 'ENOENT') throw error;
      });
      return found?.size ?? 0;
    });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
