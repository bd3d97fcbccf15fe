import type { Random } from '../../src/random.ts';
import type { Database, Engine, Entries, Entry, Write } from '../../src/store/database.ts';
import type { Clock } from '../../src/time.ts';
import type { Life } from './life.ts';

interface Journaled {
  readonly writes: readonly Write[];
  visible: boolean;
}

/** One database: what is on the disk for good, what was written since, and what readers see. */
class Content {
  durable = new Map<string, Entry>();
  view = new Map<string, Entry>();
  /** In the order written; a crash keeps a prefix. */
  journal: Journaled[] = [];

  show(entry: Journaled): void {
    if (!entry.visible) apply(this.view, entry.writes);
    entry.visible = true;
  }

  /** As LevelDB opens: what its write-ahead file holds goes into a new table, and that is synced. */
  opened(): void {
    for (const entry of this.journal) this.show(entry);
    const last = this.journal.at(-1);
    if (last !== undefined) this.synced(last);
  }

  synced(upTo: Journaled): void {
    const count = this.journal.indexOf(upTo) + 1;
    for (const { writes } of this.journal.splice(0, count)) apply(this.durable, writes);
  }

  crash(kept: number): void {
    for (const { writes } of this.journal.slice(0, kept)) apply(this.durable, writes);
    this.journal = [];
    this.view = new Map(this.durable);
  }
}

function apply(to: Map<string, Entry>, writes: readonly Write[]): void {
  for (const { key, value } of writes) {
    const name = Buffer.from(key).toString('hex');
    if (value === undefined) to.delete(name);
    else to.set(name, [key, value]);
  }
}

/**
 * What the store stands on in the simulation: ordered databases whose syncs take time, and which a
 * crash takes back to any state between the last sync and now. The facts that the store may rely on:
 * what was synced stays, of the rest a prefix of each database stays, and opening one syncs it.
 */
export class CrashDisk {
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #contents = new Map<string, Content>();
  /** Chance that a write fails (and arrives, or not). */
  failing = 0;

  constructor(random: Random, clock: Clock) {
    this.#random = random;
    this.#clock = clock;
  }

  crash(): void {
    for (const content of this.#contents.values()) {
      content.crash(Math.floor(this.#random.next() * (content.journal.length + 1)));
    }
  }

  engine(life: Life): Engine {
    const names = (): number[] =>
      [...this.#contents.keys()]
        .filter((name) => name !== 'state')
        .map(Number)
        .toSorted((one, other) => one - other);
    return {
      folder: 'simulated',
      openState: () => this.#open('state', life),
      segments: () => this.#slowly(life, names),
      openSegment: (first) => this.#open(String(first), life),
      removeSegment: (first) => this.#slowly(life, () => void this.#contents.delete(String(first))),
      segmentBytes: (first) => this.#slowly(life, () => this.#bytes(String(first))),
    };
  }

  /** Who is dead by then does nothing any more. */
  async #slowly<T>(life: Life, act: () => T): Promise<T> {
    await life.through(this.#clock.sleep(this.#random.next() * 3));
    return act();
  }

  #open(name: string, life: Life): Promise<Database> {
    return this.#slowly(life, () => {
      let content = this.#contents.get(name);
      if (content === undefined) this.#contents.set(name, (content = new Content()));
      content.opened();
      return new SimDatabase(content, life, this.#clock, this.#random, () => this.failing);
    });
  }

  #bytes(name: string): number {
    let bytes = 0;
    for (const [key, value] of this.#contents.get(name)?.view.values() ?? []) {
      bytes += key.length + value.length;
    }
    return bytes;
  }
}

class SimDatabase implements Database {
  readonly #content: Content;
  readonly #life: Life;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #failing: () => number;
  #last: Promise<void> = Promise.resolve();

  constructor(content: Content, life: Life, clock: Clock, random: Random, failing: () => number) {
    this.#content = content;
    this.#life = life;
    this.#clock = clock;
    this.#random = random;
    this.#failing = failing;
  }

  put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void> {
    return this.#write([{ key: Buffer.from(key), value: Buffer.from(value) }], sync);
  }

  write(writes: readonly Write[]): Promise<void> {
    const copies = writes.map(({ key, value }) => ({
      key: Buffer.from(key),
      value: value === undefined ? undefined : Buffer.from(value),
    }));
    return this.#write(copies, true);
  }

  /** One after the other, as LevelDB's writers queue. */
  #write(writes: readonly Write[], sync: boolean): Promise<void> {
    if (this.#life.ended) return new Promise(() => {});
    const before = this.#last;
    const mine = (async (): Promise<void> => {
      await before.catch(() => {});
      if (this.#life.ended) return;
      const fails = this.#random.next() < this.#failing();
      const entry: Journaled = { writes, visible: false };
      if (!fails || this.#random.next() < 0.5) this.#content.journal.push(entry);
      await this.#clock.sleep(sync ? 1 + this.#random.next() * 8 : 0);
      if (this.#life.ended) return;
      if (fails) throw new Error('injected: input/output error');
      this.#content.show(entry);
      if (sync) this.#content.synced(entry);
    })();
    this.#last = mine;
    mine.catch(() => {});
    return this.#life.through(mine);
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const found = this.#content.view.get(Buffer.from(key).toString('hex'));
    return this.#life.through(Promise.resolve(found?.[1]));
  }

  entries({ gte, lte, reverse }: Parameters<Database['entries']>[0]): Entries {
    const from = gte === undefined ? undefined : Buffer.from(gte).toString('hex');
    const to = lte === undefined ? undefined : Buffer.from(lte).toString('hex');
    const found = [...this.#content.view]
      .filter(([name]) => (from === undefined || name >= from) && (to === undefined || name <= to))
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([, entry]) => entry);
    if (reverse === true) found.reverse();
    return {
      next: () => this.#life.through(Promise.resolve(found.splice(0, 16))),
      close: () => Promise.resolve(),
    };
  }

  sync(): Promise<void> {
    return this.#write([], true);
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
  }
}
