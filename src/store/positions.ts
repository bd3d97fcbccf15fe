import { assert } from '../assert.ts';
import {
  type Coverage,
  type Coverages,
  covers,
  flat,
  fromFlat,
  holesIn,
  topOf,
  upTo,
} from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import { type OffsetRange, RangeSet } from '../range-set.ts';
import { streamId, type StreamId } from '../record.ts';
import type { Database } from './database.ts';
import type { Positions as Given, PositionStore } from './log.ts';
import { packed, unpacked } from './pack.ts';

const PREFIX = 'position/';

/** Parts are there only when something is ahead: programs that know nothing of them read the rest. */
type StoredPosition = [stream: number, next: number, ahead?: number[], sampledTo?: number];

export interface PositionsOptions {
  readonly database: Database;
  /** Resolves when every topic defined so far is in the log: positions name its streams. */
  readonly topicsDurable: () => Promise<void>;
  /** The state database was damaged: who comes without positions may have had some of these streams. */
  readonly lostBelow: number;
}

/** The resume points of all readers, in the state database. */
export class Positions {
  readonly #options: PositionsOptions;
  readonly #readers = new Map<string, Reader>();
  /** Streams below this number were there when positions were lost. */
  lostBelow: number;

  constructor(options: PositionsOptions) {
    this.#options = options;
    this.lostBelow = options.lostBelow;
  }

  async load(): Promise<void> {
    const entries = this.#options.database.entries({
      gte: Buffer.from(PREFIX),
      lte: Buffer.from(`${PREFIX}\u{10FFFF}`),
    });
    try {
      for (;;) {
        const batch = await entries.next();
        if (batch.length === 0) return;
        for (const [key, value] of batch) {
          const name = Buffer.from(key).toString('utf8').slice(PREFIX.length);
          const [pins, positions, lost, found = []] = unpacked(value) as [
            boolean,
            StoredPosition[],
            boolean | number | undefined,
            /** Where something was lost; earlier programs wrote none. */
            (number[] | undefined)?,
          ];
          // What a repair gives back may be older than what was there.
          const lostBelow = Math.max(lost === true ? Infinity : Number(lost ?? 0), this.lostBelow);
          const reader = new Reader(name, this.#options, lostBelow);
          reader.restore(pins, positions, found);
          this.#readers.set(name, reader);
        }
      }
    } finally {
      await entries.close();
    }
  }

  /** Whether anything ever read on from a place of its own here, as mirrors do. */
  get hadReaders(): boolean {
    return this.#readers.size > 0 || this.lostBelow > 0;
  }

  /** The log has so many streams: of those positions may have been lost, where it was not said yet. */
  async counted(streams: number): Promise<void> {
    if (this.lostBelow !== Infinity) return;
    this.lostBelow = streams;
    for (const reader of this.#readers.values()) await reader.lose(streams);
  }

  /** `pins` is left as it is when it is not given. */
  async open(name: string, pins: boolean | undefined): Promise<PositionStore> {
    let reader = this.#readers.get(name);
    if (reader === undefined) {
      reader = new Reader(name, this.#options, this.lostBelow);
      this.#readers.set(name, reader);
    }
    if (pins !== undefined && reader.pins !== pins) await reader.setPins(pins);
    return reader;
  }

  async forget(name: string): Promise<void> {
    await this.#readers.get(name)?.forget();
    this.#readers.delete(name);
    await this.#options.database.write([{ key: keyOf(name), value: undefined }]);
  }

  /** When the log is gone: positions name streams and offsets of a log that is no more. */
  async forgetAll(): Promise<void> {
    for (const name of this.#readers.keys()) await this.forget(name);
  }

  /** Highest position of any reader, by stream: what has been read was surely written. */
  highest(): Map<StreamId, number> {
    const highest = new Map<StreamId, number>();
    for (const reader of this.#readers.values()) {
      for (const [stream, coverage] of reader.coverages()) {
        highest.set(stream, Math.max(topOf(coverage), highest.get(stream) ?? 0));
      }
    }
    return highest;
  }

  /** Names of the pinning readers that have not come to `offset`. */
  behind(stream: StreamId, offset: number): string[] {
    return [...this.#readers]
      .filter(([, reader]) => reader.pins && (reader.get(stream) ?? Infinity) < offset)
      .map(([name]) => name);
  }

  /** The parts of [from, to) that some pinning reader has not had. */
  missing(stream: StreamId, from: number, to: number): OffsetRange[] {
    const missing = new RangeSet('keep');
    for (const reader of this.#readers.values()) {
      const coverage = reader.pins ? reader.coverage(stream) : undefined;
      if (coverage === undefined) continue;
      for (const hole of holesIn(coverage, from, to)) missing.add(hole.from, hole.to);
    }
    return missing.within(from, to);
  }

  /** Lowest position of the pinning readers that have one for the stream. */
  pinnedFrom(stream: StreamId): number | undefined {
    let lowest: number | undefined;
    for (const reader of this.#readers.values()) {
      const position = reader.pins ? reader.get(stream) : undefined;
      if (position !== undefined && (lowest === undefined || position < lowest)) lowest = position;
    }
    return lowest;
  }
}

class Reader implements PositionStore {
  readonly #name: string;
  readonly #options: PositionsOptions;
  #positions = new Map<StreamId, Coverage>();
  #changing: Promise<void> = Promise.resolve();
  #forgotten = false;
  /** Of those below `lostBelow`: where they stand has been told since. */
  #found = new Set<StreamId>();
  pins = false;
  lostBelow: number;

  constructor(name: string, options: PositionsOptions, lostBelow: number) {
    this.#name = name;
    this.#options = options;
    this.lostBelow = lostBelow;
  }

  get lost(): boolean {
    return this.lostBelow > 0;
  }

  isLost(stream: StreamId): boolean {
    return stream < this.lostBelow && !this.#found.has(stream);
  }

  async found(streams: Iterable<StreamId>): Promise<void> {
    const news = [...streams].filter((stream) => this.isLost(stream));
    if (news.length === 0) return;
    for (const stream of news) this.#found.add(stream);
    await this.#change(new Map(), false);
  }

  async lose(below: number): Promise<void> {
    this.lostBelow = below;
    this.#found.clear();
    await this.#change(new Map(), false);
  }

  restore(pins: boolean, positions: readonly StoredPosition[], found: readonly number[]): void {
    this.pins = pins;
    this.#found = new Set(found.map(streamId));
    this.#positions = new Map(
      positions.map(([stream, ...stored]) => [streamId(stream), fromFlat(...stored)]),
    );
  }

  get(stream: StreamId): number | undefined {
    return this.#positions.get(stream)?.next;
  }

  all(): ReadonlyMap<StreamId, number> {
    return new Map([...this.#positions].map(([stream, { next }]) => [stream, next]));
  }

  coverage(stream: StreamId): Coverage | undefined {
    return this.#positions.get(stream);
  }

  coverages(): Coverages {
    return this.#positions;
  }

  async advance(positions: Given): Promise<void> {
    await this.#change(positions, true);
  }

  async seek(positions: Given): Promise<void> {
    await this.#change(positions, false);
  }

  async setPins(pins: boolean): Promise<void> {
    this.pins = pins;
    await this.#change(new Map(), false);
  }

  /** Resolves when no change of before is under way any more. */
  async forget(): Promise<void> {
    this.#forgotten = true;
    this.#positions = new Map();
    await this.#changing;
    this.#positions = new Map();
  }

  /** One change after the other; a position shows (and frees what it pinned) once it is durable. */
  #change(given: Given, forward: boolean): Promise<void> {
    const positions = [...given].map(([stream, at]): [StreamId, Coverage] => [
      stream,
      typeof at === 'number' ? upTo(at) : at,
    ]);
    const before = this.#changing;
    const change = (async () => {
      await before;
      for (const [stream, at] of forward ? positions : []) {
        const held = this.#positions.get(stream) ?? upTo(0);
        assert(covers(at, held), 'a position never moves backwards');
      }
      await this.#options.topicsDurable();
      if (this.#forgotten) return;
      const changed = new Map([...this.#positions, ...positions]);
      await this.#write(changed);
      this.#positions = changed;
    })();
    this.#changing = change.catch(() => {});
    return change;
  }

  async #write(positions: Coverages): Promise<void> {
    const lost = this.lostBelow === Infinity ? true : this.lostBelow;
    const stored = [...positions].map(([stream, at]): StoredPosition => [stream, ...flat(at)]);
    const found = this.#found.size === 0 ? [] : [[...this.#found]];
    const value = packed([this.pins, stored, lost, ...found]);
    try {
      await this.#options.database.write([{ key: keyOf(this.#name), value }]);
    } catch (error) {
      throw new GatelogError(
        'STORE_WRITE_FAILED',
        `the positions of ${this.#name} could not be stored: check the disk's space and health`,
        { cause: error },
      );
    }
  }
}

function keyOf(name: string): Buffer {
  return Buffer.from(PREFIX + name);
}
