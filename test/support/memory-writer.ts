import { GatelogError } from '../../src/errors.ts';
import { type Durability, type StreamId, streamId } from '../../src/record.ts';
import {
  type AppendDone,
  DEVICE_PRODUCER,
  type LogWriter,
  type ProducerBook,
  type TopicInfo,
  type TopicOptions,
} from '../../src/store/log.ts';

export interface KeptRecord {
  readonly stream: StreamId;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: Uint8Array;
  readonly durability: Durability;
  readonly producer?: string;
  readonly sequence?: number;
  /** Absent: it is our clock's. */
  readonly timeIsGiven?: true;
}

interface Waiting {
  readonly done: AppendDone;
  readonly bytes: number;
  /** undefined for `settled` and for repeats. */
  readonly record: KeptRecord | undefined;
}

/**
 * A LogWriter in memory for tests of the device side: settles on its own (one "commit" per turn of
 * the loop), or holds everything until told (`hold`, `release`, `fail`). Copies what it is given
 * when it settles, not before, so that a caller who changes a buffer too early is found out.
 */
export class MemoryWriter implements LogWriter {
  readonly records: KeptRecord[] = [];
  /** Records whose write failed. */
  readonly refused: KeptRecord[] = [];
  readonly topics: Map<string, TopicInfo> = new Map();
  boundBytes = 16_777_216;
  #waiting: Waiting[] = [];
  #held = false;
  #scheduled = false;
  #failure: Error | undefined;
  #pendingBytes = 0;
  #streams = 0;
  #offsets = new Map<StreamId, number>();
  #sequences = new Map<string, number>();
  #committed = new Map<string, number>();
  #relief: (() => void)[] = [];

  get waiting(): number {
    return this.#waiting.length;
  }

  hold(): void {
    this.#held = true;
  }

  /** Settles the `count` oldest (all, when not given); keeps holding. */
  release(count: number = this.#waiting.length): void {
    const part = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    for (const one of part) this.#settle(one, null);
    if (this.#pendingBytes * 2 <= this.boundBytes) {
      for (const wake of this.#relief.splice(0)) wake();
    }
  }

  /** Goes on on its own. */
  resume(): void {
    this.#held = false;
    this.release();
  }

  /** Everything that waits, and all that comes, fails. */
  fail(error: Error = new GatelogError('STORE_FULL', 'the disk is full')): void {
    this.#failure = error;
    const part = this.#waiting;
    this.#waiting = [];
    for (const one of part) this.#settle(one, error);
  }

  mend(): void {
    this.#failure = undefined;
  }

  /** What was told as failed was on the disk nevertheless. */
  arrived(): void {
    for (const record of this.refused.splice(0)) {
      this.records.push(record);
      const { producer, sequence } = record;
      if (producer === undefined || sequence === undefined) continue;
      this.#sequences.set(producer, sequence);
      this.#committed.set(producer, sequence);
    }
  }

  values(): string[] {
    return this.records.map((record) => Buffer.from(record.value ?? []).toString());
  }

  defineTopic(name: string, options: TopicOptions): TopicInfo {
    if (!/^[\w.-]{1,249}$/u.test(name)) {
      throw new GatelogError('CONFIG_INVALID', `${JSON.stringify(name)} is no topic name`);
    }
    const known = this.topics.get(name);
    const streams = [...(known?.streams ?? [])];
    while (streams.length < options.partitions) streams.push(streamId(this.#streams++));
    const info = { name, options, streams };
    this.topics.set(name, info);
    return info;
  }

  append(
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    durability: Durability,
    done: AppendDone,
    timeIsGiven: boolean = false,
  ): void {
    const offset = this.#offsets.get(stream) ?? 0;
    this.#offsets.set(stream, offset + 1);
    const given = timeIsGiven ? ({ timeIsGiven: true } as const) : {};
    this.#wait({ stream, offset, timestampMs, key, value, headers, durability, ...given }, done);
  }

  appendOnce(
    producer: string,
    sequence: number,
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    durability: Durability,
    done: AppendDone,
  ): void {
    const last = this.#sequences.get(producer) ?? -1;
    if (sequence <= last) {
      this.#wait(undefined, (error) => done(error, -1, error === null ? last : undefined));
      return;
    }
    this.#sequences.set(producer, sequence);
    const offset = this.#offsets.get(stream) ?? 0;
    this.#offsets.set(stream, offset + 1);
    const record = { stream, offset, timestampMs, key, value, headers, durability };
    this.#wait({ ...record, producer, sequence }, done);
  }

  readonly producers: ProducerBook = {
    last: (name) => this.#sequences.get(name) ?? -1,
    startingWith: (prefix) => this.#startingWith(prefix),
    forget: (names) => {
      for (const name of names) {
        this.#sequences.delete(name);
        this.#committed.delete(name);
      }
    },
    devices: () => ({ remembered: this.#startingWith(DEVICE_PRODUCER).length, forgotten: 0 }),
  };

  #startingWith(prefix: string): [string, number][] {
    return [...this.#committed].filter(([name]) => name.startsWith(prefix));
  }

  settled(done: AppendDone): void {
    this.#wait(undefined, done);
  }

  pendingBytes(): number {
    return this.#pendingBytes;
  }

  relieved(): Promise<void> {
    return new Promise((resolve) => {
      this.#relief.push(resolve);
    });
  }

  #wait(record: KeptRecord | undefined, done: AppendDone): void {
    const bytes =
      (record?.key?.length ?? 0) + (record?.value?.length ?? 0) + (record?.headers.length ?? 0);
    this.#pendingBytes += bytes;
    this.#waiting.push({ record, done, bytes });
    if (this.#held || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#held) this.release();
    });
  }

  /** A failed commit forgets what it would have said of producers. */
  #settleProducer(record: KeptRecord | undefined, error: Error | null): void {
    if (record?.producer === undefined || record.sequence === undefined) return;
    const { producer, sequence } = record;
    if (error === null) this.#committed.set(producer, sequence);
    else this.#sequences.set(producer, this.#committed.get(producer) ?? -1);
  }

  #settle(one: Waiting, failure: Error | null): void {
    this.#pendingBytes -= one.bytes;
    const error = failure ?? this.#failure ?? null;
    const { record } = one;
    if (error === null && record !== undefined) this.records.push(copyOf(record));
    else if (record !== undefined) this.refused.push(copyOf(record));
    this.#settleProducer(record, error);
    one.done(error, error === null ? (one.record?.offset ?? -1) : -1);
  }
}

function copyOf(record: KeptRecord): KeptRecord {
  return {
    ...record,
    key: record.key === null ? null : Buffer.from(record.key),
    value: record.value === null ? null : Buffer.from(record.value),
    headers: Buffer.from(record.headers),
  };
}
