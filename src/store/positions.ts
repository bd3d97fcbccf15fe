import { assert } from '../assert.ts';
import { GatelogError } from '../errors.ts';
import { streamId, type StreamId } from '../record.ts';
import type { Database } from './database.ts';
import type { PositionStore } from './log.ts';
import { packed, unpacked } from './pack.ts';

const PREFIX = 'position/';

export interface PositionsOptions {
  readonly database: Database;
  /** Resolves when every topic defined so far is in the log: positions name its streams. */
  readonly topicsDurable: () => Promise<void>;
  /** The state database was damaged: who comes without positions now may have had some. */
  readonly lost: boolean;
}

/** The resume points of all readers, in the state database. */
export class Positions {
  readonly #options: PositionsOptions;
  readonly #readers = new Map<string, Reader>();

  constructor(options: PositionsOptions) {
    this.#options = options;
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
          const [pins, positions, lost] = unpacked(value) as [
            boolean,
            [number, number][],
            boolean | undefined,
          ];
          const reader = new Reader(name, this.#options, lost === true);
          reader.restore(pins, positions);
          this.#readers.set(name, reader);
        }
      }
    } finally {
      await entries.close();
    }
  }

  async open(name: string, pins: boolean): Promise<PositionStore> {
    let reader = this.#readers.get(name);
    if (reader === undefined) {
      reader = new Reader(name, this.#options, this.#options.lost);
      this.#readers.set(name, reader);
    }
    if (reader.pins !== pins) await reader.setPins(pins);
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
      for (const [stream, position] of reader.all()) {
        highest.set(stream, Math.max(position, highest.get(stream) ?? 0));
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
  #positions = new Map<StreamId, number>();
  #changing: Promise<void> = Promise.resolve();
  #forgotten = false;
  pins = false;
  readonly lost: boolean;

  constructor(name: string, options: PositionsOptions, lost: boolean) {
    this.#name = name;
    this.#options = options;
    this.lost = lost;
  }

  restore(pins: boolean, positions: readonly (readonly [number, number])[]): void {
    this.pins = pins;
    this.#positions = new Map(positions.map(([stream, next]) => [streamId(stream), next]));
  }

  get(stream: StreamId): number | undefined {
    return this.#positions.get(stream);
  }

  all(): ReadonlyMap<StreamId, number> {
    return this.#positions;
  }

  async advance(positions: ReadonlyMap<StreamId, number>): Promise<void> {
    await this.#change(positions, true);
  }

  async seek(positions: ReadonlyMap<StreamId, number>): Promise<void> {
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
  #change(positions: ReadonlyMap<StreamId, number>, forward: boolean): Promise<void> {
    const before = this.#changing;
    const change = (async () => {
      await before;
      for (const [stream, next] of forward ? positions : []) {
        assert(next >= (this.#positions.get(stream) ?? 0), 'a position never moves backwards');
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

  async #write(positions: ReadonlyMap<StreamId, number>): Promise<void> {
    const value = packed([this.pins, [...positions], this.lost]);
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
