import { assert, must } from '../../src/assert.ts';
import { type Coverage, covers, upTo } from '../../src/coverage.ts';
import { GatelogError } from '../../src/errors.ts';
import type { LedgerEntry, Loss } from '../../src/loss.ts';
import { type LogRecord, streamId, type StreamId } from '../../src/record.ts';
import type {
  AppendDone,
  CursorBatch,
  KeyValueSpace,
  LogCursor,
  LogReader,
  LogWriter,
  LossLedger,
  Positions,
  PositionStore,
  ReadGap,
  TopicInfo,
  TopicOptions,
} from '../../src/store/log.ts';
import { Producers } from '../../src/store/producers.ts';

/**
 * The log's interfaces over plain arrays: for tests of what lies above the store, which want to
 * trim, corrupt and fail it at will. Every append is durable at once.
 */
interface Entry {
  readonly stream: StreamId;
  readonly record: LogRecord;
}

export class MemoryLog {
  readonly entries: Entry[] = [];
  readonly #topics = new Map<string, TopicInfo>();
  readonly #ranges = new Map<StreamId, { startOffset: number; endOffset: number }>();
  readonly #holes: ReadGap[] = [];
  readonly #waiters = new Set<() => void>();
  /** Thrown by the next reads or position writes, while set. */
  failReads: Error | undefined;
  failPositions: Error | undefined;

  topic(name: string, partitions = 1): TopicInfo {
    const options: TopicOptions = {
      partitions,
      durability: 'fsync',
      retentionMs: undefined,
      retentionBytes: undefined,
    };
    const streams = [...(this.#topics.get(name)?.streams ?? [])];
    while (streams.length < partitions) {
      const stream = streamId(this.#ranges.size);
      this.#ranges.set(stream, { startOffset: 0, endOffset: 0 });
      streams.push(stream);
    }
    const info = { name, options, streams };
    this.#topics.set(name, info);
    return info;
  }

  /** Appends and returns the offset. */
  add(stream: StreamId, text: string, timestampMs = 0, key: string | null = null): number {
    const bytes = key === null ? null : Buffer.from(key);
    return this.#append(stream, timestampMs, bytes, Buffer.from(text), new Uint8Array(0));
  }

  /** What retention would do. */
  trim(stream: StreamId, startOffset: number): void {
    must(this.#ranges.get(stream), 'a known stream').startOffset = startOffset;
  }

  corrupt(stream: StreamId, fromOffset: number, toOffset: number): void {
    this.#holes.push({ stream, fromOffset, toOffset, reason: 'corruption' });
  }

  records(stream: StreamId): LogRecord[] {
    return this.entries.filter((entry) => entry.stream === stream).map(({ record }) => record);
  }

  #append(
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
  ): number {
    const range = must(this.#ranges.get(stream), 'a known stream');
    const offset = range.endOffset++;
    this.entries.push({ stream, record: { offset, timestampMs, key, value, headers } });
    for (const wake of this.#waiters) wake();
    return offset;
  }

  readonly writer: LogWriter = {
    defineTopic: (name, options) => this.topic(name, options.partitions),
    append: (stream, timestampMs, key, value, headers, _durability, done: AppendDone) => {
      const offset = this.#append(stream, timestampMs, key, value, headers);
      queueMicrotask(() => done(null, offset));
    },
    producers: new Producers(),
    appendOnce: () => {
      throw new GatelogError('INTERNAL', 'the memory log does not do appendOnce');
    },
    settled: (done) => queueMicrotask(() => done(null, -1)),
    pendingBytes: () => 0,
    relieved: () => Promise.resolve(),
  };

  readonly reader: LogReader = {
    topics: () => [...this.#topics.values()],
    topic: (name) => this.#topics.get(name),
    range: (stream) => ({ ...must(this.#ranges.get(stream), 'a known stream') }),
    topicBytes: () => 0,
    timestampAt: (stream, offset) => {
      const found = this.records(stream).find((record) => record.offset >= offset);
      return Promise.resolve(found?.timestampMs);
    },
    offsetAtTime: (stream, timestampMs) => {
      const found = this.records(stream).find((record) => record.timestampMs >= timestampMs);
      return Promise.resolve(found?.offset ?? this.reader.range(stream).endOffset);
    },
    cursor: (from) => this.#cursor(from),
  };

  #cursor(from: ReadonlyMap<StreamId, number>): LogCursor {
    const next = new Map(from);
    let at = 0;
    const hasMore = (): boolean =>
      [...next].some(([stream, offset]) => offset < this.reader.range(stream).endOffset);
    return {
      next: async ({ maxRecords, maxBytes }): Promise<CursorBatch> => {
        await Promise.resolve();
        if (this.failReads !== undefined) throw this.failReads;
        const slices: { stream: StreamId; records: LogRecord[] }[] = [];
        const open = new Map<StreamId, LogRecord[]>();
        const gaps = this.#retired(next);
        let records = 0;
        let bytes = 0;
        for (; at < this.entries.length && records < maxRecords && bytes < maxBytes; at++) {
          const { stream, record } = must(this.entries[at], 'within its length');
          const wanted = next.get(stream);
          if (wanted === undefined || record.offset < wanted) continue;
          assert(record.offset === wanted, 'the memory log is dense');
          next.set(stream, wanted + 1);
          const hole = this.#holes.find(
            (one) => one.stream === stream && one.fromOffset <= wanted && wanted < one.toOffset,
          );
          if (hole !== undefined) {
            gaps.push({ ...hole, fromOffset: wanted, toOffset: wanted + 1 });
            open.delete(stream); // Slices are dense.
            continue;
          }
          records++;
          bytes += (record.key?.length ?? 0) + (record.value?.length ?? 0) + record.headers.length;
          let slice = open.get(stream);
          if (slice === undefined) {
            slice = [];
            open.set(stream, slice);
            slices.push({ stream, records: slice });
          }
          slice.push(record);
        }
        return { slices, gaps, records, bytes };
      },
      wait: (signal) =>
        new Promise((resolve) => {
          const wake = (): void => {
            if (!signal.aborted && !hasMore()) return;
            this.#waiters.delete(wake);
            signal.removeEventListener('abort', wake);
            resolve();
          };
          this.#waiters.add(wake);
          signal.addEventListener('abort', wake);
          wake();
        }),
      close: () => Promise.resolve(),
    };
  }

  #retired(next: Map<StreamId, number>): ReadGap[] {
    const gaps: ReadGap[] = [];
    for (const [stream, wanted] of next) {
      const { startOffset } = this.reader.range(stream);
      if (wanted >= startOffset) continue;
      gaps.push({ stream, fromOffset: wanted, toOffset: startOffset, reason: 'retention' });
      next.set(stream, startOffset);
    }
    return gaps;
  }

  /** As after a loss of the state database. */
  readonly lostPositions: Set<StreamId> = new Set();

  positions(): PositionStore {
    const stored = new Map<StreamId, Coverage>();
    const write = async (positions: Positions): Promise<void> => {
      await Promise.resolve();
      if (this.failPositions !== undefined) throw this.failPositions;
      for (const [stream, at] of positions) stored.set(stream, coverageOf(at));
    };
    return {
      lost: false,
      lostBelow: 0,
      isLost: (stream) => this.lostPositions.has(stream),
      found: (streams) => {
        for (const stream of streams) this.lostPositions.delete(stream);
        return Promise.resolve();
      },
      get: (stream) => stored.get(stream)?.next,
      all: () => new Map([...stored].map(([stream, { next }]) => [stream, next])),
      coverage: (stream) => stored.get(stream),
      coverages: () => new Map(stored),
      advance: (positions) => {
        for (const [stream, at] of positions) {
          assert(
            covers(coverageOf(at), stored.get(stream) ?? upTo(0)),
            'a position never moves backwards',
          );
        }
        return write(positions);
      },
      seek: write,
    };
  }

  /** Everything told to the ledger, as it was told. */
  readonly told: Loss[] = [];
  /** Thrown by the ledger, while set. */
  failLedger: Error | undefined;

  readonly ledger: LossLedger = {
    record: async (losses) => {
      await Promise.resolve();
      if (this.failLedger !== undefined) throw this.failLedger;
      this.told.push(...losses);
    },
    entries: () => entriesOf(this.told),
    lost: (topic, partition, from, to) =>
      this.told
        .filter((loss) => loss.topic === topic && loss.partition === partition)
        .filter(({ mirror }) => mirror === undefined)
        .map(({ fromOffset = 0, toOffset = 0 }) => ({
          from: Math.max(from, fromOffset),
          to: Math.min(to, toOffset),
        }))
        .filter((range) => range.from < range.to),
    totals: () => {
      throw new GatelogError('INTERNAL', 'the memory log keeps what it is told in `told`');
    },
  };

  readonly keyValue: KeyValueSpace = memoryValues();
  readonly sampled: KeyValueSpace = memoryValues();
}

function memoryValues(): KeyValueSpace {
  const values = new Map<string, Uint8Array>();
  return {
    get: (key) => Promise.resolve(values.get(key)),
    put: (key, value) => {
      values.set(key, Buffer.from(value));
      return Promise.resolve();
    },
    delete: (key) => {
      values.delete(key);
      return Promise.resolve();
    },
    entries: () => {
      const entries = [...values].toSorted(([one], [other]) => (one < other ? -1 : 1));
      return Promise.resolve(entries);
    },
    deleteAll: (keys) => {
      for (const key of keys) values.delete(key);
      return Promise.resolve();
    },
  };
}

function coverageOf(at: number | Coverage): Coverage {
  return typeof at === 'number' ? upTo(at) : at;
}

async function* entriesOf(told: readonly Loss[]): AsyncGenerator<LedgerEntry> {
  await Promise.resolve();
  for (const loss of told) yield { ...loss, incarnation: 'abc', atMs: 0, untilMs: 0 };
}
