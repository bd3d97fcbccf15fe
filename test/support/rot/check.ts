import type { Mirror } from '../../../src/mirror/mirror.ts';
import type { StreamId } from '../../../src/record.ts';
import type { Store } from '../../../src/store/log.ts';
import { systemClock } from '../../../src/time.ts';
import { SimulatedUpstream } from '../simulated-upstream.ts';
import { append, entriesOf, readAll } from '../store-kit.ts';
import { digestOf, openRot, READER, type Known, type Model } from './build.ts';
import { kindOf, type Damage } from './damage.ts';
import { startMirror } from './mirror.ts';

export interface Circumstances {
  readonly damage: Damage;
  readonly withMirror: boolean;
}

/** What is wrong with a damaged folder: one sentence each. An empty list is what is wanted. */
export async function checkFolder(
  folder: string,
  model: Model,
  { damage, withMirror }: Circumstances,
): Promise<string[]> {
  const problems: string[] = [];
  const store = await openRot(folder);
  const check = new Check(store, model, damage, problems);
  try {
    await check.all(withMirror);
  } finally {
    await store.close();
  }
  if (problems.length > 0) return problems;
  const again = await openRot(folder);
  try {
    await new Check(again, model, damage, problems).again(check.appended);
  } finally {
    await again.close();
  }
  return problems;
}

interface Range {
  readonly fromOffset: number;
  readonly toOffset: number;
}

function range(fromOffset: number, toOffset: number): Range {
  return { fromOffset, toOffset };
}

class Check {
  readonly #store: Store;
  readonly #model: Model;
  readonly #damage: Damage;
  readonly #problems: string[];
  readonly #streams = new Map<string, StreamId>();
  /** Offsets that were read, by stream's name. */
  readonly #read = new Map<string, Set<number>>();
  readonly appended: Map<string, number> = new Map();

  constructor(store: Store, model: Model, damage: Damage, problems: string[]) {
    this.#store = store;
    this.#model = model;
    this.#damage = damage;
    this.#problems = problems;
    for (const topic of store.reader.topics()) {
      for (const [partition, stream] of topic.streams.entries()) {
        this.#streams.set(`${topic.name}/${partition}`, stream);
      }
    }
  }

  async all(withMirror: boolean): Promise<void> {
    await this.#readBack();
    this.#complete();
    await this.#positions();
    await this.#store.scrub();
    await this.#ledger();
    if (withMirror) await this.#mirror();
    await this.#append();
  }

  /** After another start: what was appended is there, and nothing else is lost than before. */
  async again(appended: ReadonlyMap<string, number>): Promise<void> {
    await this.#readBack(appended);
    const before = JSON.stringify([...(await this.#losses())]);
    await this.#store.scrub();
    const after = JSON.stringify([...(await this.#losses())]);
    if (before !== after) this.#say(`the ledger grew after a start: ${before}, then ${after}`);
    for (const [name, offset] of appended) {
      if (this.#read.get(name)?.has(offset) !== true) {
        this.#say(`${name}: offset ${offset}, appended after the damage, is not there`);
      }
    }
  }

  #say(problem: string): void {
    this.#problems.push(problem);
  }

  async #readBack(appended: ReadonlyMap<string, number> = new Map()): Promise<void> {
    if (this.#store.identity.incarnation !== this.#model.incarnation) {
      this.#say(`the incarnation is ${this.#store.identity.incarnation}, another one`);
    }
    for (const [name, known] of Object.entries(this.#model.streams)) {
      const stream = this.#streams.get(name);
      if (stream === undefined) {
        this.#say(`${name} is no longer known`);
        continue;
      }
      const { records, gaps } = await readAll(this.#store, [stream]);
      const read = new Set<number>();
      let last = -1;
      for (const record of records.get(stream) ?? []) {
        const { offset } = record;
        if (offset <= last) this.#say(`${name}: offset ${offset} comes after ${last}`);
        last = offset;
        read.add(offset);
        if (appended.get(name) === offset) continue;
        if (known[offset] === undefined) this.#say(`${name}: offset ${offset} was never given`);
        else if (known[offset].digest !== digestOf(record)) this.#say(`${name}: ${offset} differs`);
      }
      this.#read.set(name, read);
      this.#total(name, stream, gaps);
    }
  }

  /** Each offset is read, or told as a gap, and none is both. */
  #total(name: string, stream: StreamId, gaps: readonly Range[]): void {
    const { startOffset, endOffset } = this.#store.reader.range(stream);
    const read = [...(this.#read.get(name) ?? [])].map((offset) => range(offset, offset + 1));
    let next = startOffset;
    const all = [...read, ...gaps].toSorted((left, right) => left.fromOffset - right.fromOffset);
    for (const { fromOffset, toOffset } of all) {
      if (fromOffset > next) this.#say(`${name}: ${next} is neither read nor told as a gap`);
      if (fromOffset < next) this.#say(`${name}: ${fromOffset} comes twice, as a gap or a record`);
      next = toOffset;
    }
    if (next !== endOffset) this.#say(`${name}: it ends at ${next}, and should at ${endOffset}`);
  }

  /** What lies in bytes that were not hit is there. */
  #complete(): void {
    let missingBytes = 0;
    let wrong = 0;
    for (const [name, known] of Object.entries(this.#model.streams)) {
      const read = this.#read.get(name) ?? new Set();
      for (const [offset, record] of known.entries()) {
        if (read.has(offset)) continue;
        missingBytes += record.bytes;
        if (record.segment !== this.#hitSegment() && wrong++ < 3) {
          this.#say(`${name}: offset ${offset} of segment ${record.segment} is missing`);
        }
      }
    }
    const most = mostBytesLost(this.#damage);
    if (missingBytes > most) {
      this.#say(`${missingBytes} bytes of records are missing, at most ${most} were hit`);
    }
  }

  /** First commit of the segment that the damage is in. */
  #hitSegment(): number | undefined {
    const [top, folder] = this.#damage.file.split('/');
    return top === 'log' ? Number(folder) : undefined;
  }

  async #positions(): Promise<void> {
    const reader = await this.#store.positions(READER, { pins: true });
    for (const [name, ever] of Object.entries(this.#model.positions)) {
      const stream = this.#streams.get(name);
      const position = stream === undefined ? undefined : reader.get(stream);
      if (position === undefined) {
        if (!this.#damage.file.startsWith('state/')) this.#say(`${name}: the position is lost`);
      } else if (!ever.includes(position)) {
        this.#say(`${name}: position ${position} was never one`);
      }
    }
  }

  /** What the disk lost, by stream. */
  async #losses(): Promise<Map<string, Range[]>> {
    const losses = new Map<string, Range[]>();
    for (const entry of await entriesOf(this.#store)) {
      const { topic, partition, fromOffset = 0, toOffset = 0, reason } = entry;
      if (reason !== 'corruption') continue;
      const name = `${topic}/${partition}`;
      const ranges = losses.get(name) ?? [];
      ranges.push(range(fromOffset, toOffset));
      losses.set(name, ranges);
    }
    return losses;
  }

  /** Exactly what is missing stands in the ledger. */
  async #ledger(): Promise<void> {
    const lost = await this.#losses();
    for (const [name, known] of Object.entries(this.#model.streams)) {
      const read = this.#read.get(name) ?? new Set();
      const ranges = lost.get(name) ?? [];
      const isLost = (offset: number): boolean =>
        ranges.some(({ fromOffset, toOffset }) => fromOffset <= offset && offset < toOffset);
      const stream = this.#streams.get(name);
      const end = stream === undefined ? 0 : this.#store.reader.range(stream).endOffset;
      for (let offset = 0; offset < Math.min(known.length, end); offset++) {
        if (!read.has(offset) && !isLost(offset)) {
          this.#say(`${name}: offset ${offset} is missing and not in the ledger`);
          break;
        }
      }
      const present = [...read].find(isLost);
      if (present !== undefined) this.#say(`${name}: ${present} is in the ledger and can be read`);
    }
    if (this.#damage.file.startsWith('state/')) return;
    const told = await entriesOf(this.#store);
    for (const loss of this.#model.losses) {
      const found = told.some(({ topic, partition, fromOffset, toOffset }) => {
        return `${topic}/${partition} ${fromOffset}-${toOffset}` === loss;
      });
      if (!found) this.#say(`the ledger lost its entry ${loss}`);
    }
  }

  /** A mirror that begins at the positions: nothing wrong comes out, in order, and nothing twice. */
  async #mirror(): Promise<void> {
    const upstream = new SimulatedUpstream({ clock: systemClock, exactlyOnce: false });
    const mirror: Mirror = await startMirror(this.#store, upstream, READER);
    const last = new Map<string, number>();
    try {
      await caughtUp(mirror);
    } finally {
      await mirror.stop();
    }
    for (const { at, record } of upstream.delivered) {
      const name = `${at.topic}/${at.partition}`;
      const known: Known | undefined = this.#model.streams[name]?.[record.offset];
      if (record.offset <= (last.get(name) ?? -1)) this.#say(`${name}: mirrored out of order`);
      last.set(name, record.offset);
      if (name.startsWith('_')) continue;
      if (known?.digest !== digestOf(record)) this.#say(`${name}: ${record.offset} mirrored wrong`);
    }
    for (const [name, read] of this.#read) {
      const highest = Math.max(-1, ...read);
      if (!name.startsWith('_') && highest >= 0 && (last.get(name) ?? highest) !== highest) {
        this.#say(`${name}: mirrored up to ${last.get(name)}, and there is ${highest}`);
      }
    }
  }

  /** Offsets go on beyond everything that was ever given. */
  async #append(): Promise<void> {
    for (const [name, stream] of this.#streams) {
      const known = this.#model.streams[name];
      if (known === undefined) continue;
      const offset = await append(this.#store, stream, { value: Buffer.from('after') });
      this.appended.set(name, offset);
      const noted = this.#model.noted[name] ?? 0;
      const asAfterCut = offset >= noted && looksLikePowerCut(this.#model, this.#damage);
      if (offset < known.length && !asAfterCut) {
        this.#say(`${name}: offset ${offset} is given again, ${known.length} were given before`);
      }
      if (this.#read.get(name)?.has(offset) === true) {
        this.#say(`${name}: offset ${offset} is given again and can be read`);
      }
    }
  }
}

async function caughtUp(mirror: Mirror): Promise<void> {
  for (;;) {
    const { lagRecords, state } = mirror.status();
    if (lagRecords === 0 || state === 'halted') return;
    await systemClock.sleep(5);
  }
}

/**
 * A write-ahead file that ends early, or whose last commit is altered, is what a power cut leaves, byte
 * for byte. After an unclean end nobody can tell them apart, beyond what was noted elsewhere.
 */
function looksLikePowerCut({ clean, streams }: Model, damage: Damage): boolean {
  const { file, to, size } = damage;
  if (clean || !file.startsWith('log/') || kindOf(file) !== 'wal') return false;
  const newest = Math.max(...Object.values(streams).map((known) => known.at(-1)?.segment ?? 0));
  const hitsEnd = to === undefined || to > size - LARGEST_COMMIT;
  return hitsEnd && Number(file.split('/')[1]) === newest;
}

const TABLE_BLOCK = 65_536;
const LARGEST_COMMIT = 8000;

/** Bytes of records that may be missing at most: what LevelDB can't tell apart goes with what was hit. */
function mostBytesLost(damage: Damage): number {
  const { file, from, to, size, how } = damage;
  const kind = kindOf(file);
  if (how === 'remove the folder') return file.startsWith('log/') ? Infinity : 0;
  if (!file.startsWith('log/')) return 0;
  // By the books of another segment LevelDB removes this one's tables before anybody can look.
  if (kind === 'MANIFEST' && how === 'put in one of another segment') return Infinity;
  if (kind !== 'wal' && kind !== 'table') return 0;
  if (from === undefined || to === undefined) return Infinity;
  // A table whose index is gone gets a new one: its blocks are found without.
  const part = kind === 'wal' ? LARGEST_COMMIT : TABLE_BLOCK + LARGEST_COMMIT;
  if (how === 'truncate') return size - from + part;
  if (how === 'append garbage') return 0;
  // What stands behind it in its block is there.
  if (kind === 'wal') return to - from + 2 * LARGEST_COMMIT;
  return (how === 'flip a bit' ? 1 : 2) * (TABLE_BLOCK + LARGEST_COMMIT);
}
