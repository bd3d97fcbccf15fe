import type { LogRecord, StreamId } from '../../src/record.ts';
import { seededRandom } from '../../src/random.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import type { Logger } from '../../src/telemetry.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { idOf, payloadOf } from '../support/hunt/messages.ts';
import { LedgerCheck } from './ledger-check.ts';
import { LOAD_TOPICS, NOTE_KEY, NOTE_SPACE, READERS } from './load-plan.ts';

const PROBLEMS_MAX = 20;

/** What one partition promised: the id at every offset that must be there, or be retired. */
class Partition {
  readonly promised = new Map<number, string>();
  /** By reader: durable when told. */
  readonly positions = new Map<string, number>();
  start = 0;
  /** Below it every offset was read already. */
  read = 0;
}

/**
 * Promised against found, over all lives. What was acknowledged, what a reader had and what was
 * read after a cut MUST stand at its offset unaltered, until retention moved the start over it.
 */
export class StoreOracle {
  readonly #partitions = new Map<string, Partition>();
  readonly #places = new Map<string, string>();
  readonly #ledger = new LedgerCheck((text) => this.problem(text));
  #note = 0;
  #incarnation: string | undefined;
  #problemCount = 0;
  readonly problems: string[] = [];
  acknowledged = 0;
  recordsRead = 0;
  retired = 0;
  /** Offsets that are gone and that nobody was promised (a torn commit of class `os`). */
  unpromisedGaps = 0;
  /** Highest sequence of the appends that are made once. */
  sequence = 0;

  /** Records that the loss ledger declares, as of the last check. */
  get declared(): number {
    return this.#ledger.declared;
  }

  get problemCount(): number {
    return this.#problemCount;
  }

  /** A line of the process under test. */
  hear(line: string): void {
    const [verb, ...fields] = line.split(' ');
    if (verb === 'A') this.#acknowledged(fields);
    else if (verb === 'P') this.#position(fields);
    else if (verb === 'G') this.#ledger.passed(fields);
    else if (verb === 'N') this.#note = Number(fields[0]);
    else if (verb === 'Q') this.sequence = Math.max(this.sequence, Number(fields[0]));
    else if (verb === 'E') this.problem(`the store says: ${fields.join(' ')}`);
  }

  /** Opens the folder, reads everything that is new and a random part of the rest, and closes it. */
  async check(folder: string, seed: number): Promise<void> {
    const random = seededRandom(seed);
    const store = await openStore({
      folder,
      clock: systemClock,
      random,
      logger: this.#logger(),
      segmentBytes: 65_536,
    });
    try {
      this.#identity(store);
      await this.#positions(store);
      await this.#notes(store);
      await this.#ledger.check(store);
      for (const { name } of LOAD_TOPICS) {
        const topic = store.reader.topic(name);
        if (topic === undefined) this.#missingTopic(name);
        else await this.#topic(store, topic, random.next());
      }
    } finally {
      await store.close();
    }
  }

  problem(text: string): void {
    this.#problemCount++;
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(text);
  }

  #acknowledged([topic = '', partition = '', offset = '', id = '']: readonly string[]): void {
    this.acknowledged++;
    const once = /^once\.(\d+)\./u.exec(id)?.[1];
    if (once !== undefined) this.sequence = Math.max(this.sequence, Number(once));
    // Class `os` promises a second, which a cut takes back.
    const { durability } = LOAD_TOPICS.find(({ name }) => name === topic)?.options ?? {};
    if (durability === 'fsync') this.#promise(`${topic}/${partition}`, Number(offset), id);
  }

  #position([reader = '', topic = '', partition = '', next = '']: readonly string[]): void {
    this.#partition(`${topic}/${partition}`).positions.set(reader, Number(next));
  }

  #partition(place: string): Partition {
    let partition = this.#partitions.get(place);
    if (partition === undefined) this.#partitions.set(place, (partition = new Partition()));
    return partition;
  }

  #promise(place: string, offset: number, id: string): void {
    const partition = this.#partition(place);
    const before = partition.promised.get(offset);
    if (before !== undefined && before !== id) {
      this.problem(`${place}@${offset} was ${before} and is given out again for ${id}`);
    }
    partition.promised.set(offset, id);
    const elsewhere = this.#places.get(id);
    if (elsewhere !== undefined && elsewhere !== `${place}@${offset}`) {
      this.problem(`${id} stands at ${elsewhere} and at ${place}@${offset}`);
    }
    this.#places.set(id, `${place}@${offset}`);
  }

  #logger(): Logger {
    const error: Logger['error'] = (fields, message) =>
      this.problem(`on opening: ${message} ${JSON.stringify(fields)}`);
    const logger: Logger = { ...silentLogger, error, child: () => logger };
    return logger;
  }

  #identity({ identity: { incarnation } }: Store): void {
    this.#incarnation ??= incarnation;
    if (incarnation === this.#incarnation) return;
    if (this.acknowledged > 0) this.problem(`incarnation ${this.#incarnation} is ${incarnation}`);
    this.#incarnation = incarnation;
  }

  #missingTopic(name: string): void {
    for (const [place, { promised }] of this.#partitions) {
      if (place.startsWith(`${name}/`) && promised.size > 0) this.problem(`${name} is gone`);
    }
  }

  /** Never ahead of the log, never behind what was told. */
  async #positions(store: Store): Promise<void> {
    for (const { name, pins } of READERS) {
      const positions = await store.positions(name, { pins });
      for (const { name: topic } of LOAD_TOPICS) {
        for (const [partition, stream] of (store.reader.topic(topic)?.streams ?? []).entries()) {
          const place = `${topic}/${partition}`;
          const found = positions.get(stream) ?? 0;
          const told = this.#partition(place).positions.get(name) ?? 0;
          const { endOffset } = store.reader.range(stream);
          if (found < told) this.problem(`${name} at ${place}: ${told} was durable, is ${found}`);
          if (found > endOffset) this.problem(`${name} at ${place}: ${found}, ends ${endOffset}`);
        }
      }
    }
  }

  async #notes(store: Store): Promise<void> {
    const value = await store.keyValue(NOTE_SPACE).get(NOTE_KEY);
    const found = value === undefined ? 0 : Number(Buffer.from(value).toString());
    if (found < this.#note) this.problem(`note ${this.#note} was durable, found ${found}`);
    this.#note = found;
  }

  async #topic(store: Store, topic: TopicInfo, chance: number): Promise<void> {
    const froms = new Map<StreamId, number>();
    for (const [index, stream] of topic.streams.entries()) {
      const partition = this.#partition(`${topic.name}/${index}`);
      const { startOffset, endOffset } = store.reader.range(stream);
      this.#range(topic, index, startOffset, endOffset);
      const again = Math.floor((partition.read - startOffset) * (chance < 0.2 ? 1 : 0.1 * chance));
      froms.set(stream, Math.max(startOffset, partition.read - Math.max(0, again)));
    }
    const cursor = store.reader.cursor(froms);
    for (;;) {
      const batch = await cursor.next({ maxRecords: 5000, maxBytes: 4_194_304 });
      if (batch.records === 0 && batch.gaps.length === 0) break;
      for (const { stream, fromOffset, toOffset } of batch.gaps) {
        this.#skip(topic, froms, stream, fromOffset, toOffset);
      }
      for (const { stream, records } of batch.slices) {
        for (const record of records) this.#record(topic, froms, stream, record);
      }
    }
    await cursor.close();
    for (const [index, stream] of topic.streams.entries()) {
      const { endOffset } = store.reader.range(stream);
      const next = froms.get(stream) ?? 0;
      const place = `${topic.name}/${index}`;
      if (next !== endOffset) this.problem(`${place} ends at ${endOffset}, read up to ${next}`);
      this.#partition(place).read = next;
    }
  }

  #range({ name, options }: TopicInfo, index: number, start: number, end: number): void {
    const place = `${name}/${index}`;
    const partition = this.#partition(place);
    if (start < partition.start) this.problem(`${place}: start ${partition.start} is ${start}`);
    if (start > 0 && options.retentionBytes === undefined) {
      this.problem(`${place}: starts at ${start}, and nothing lets it`);
    }
    this.retired += start - partition.start;
    partition.start = start;
    for (const [offset, id] of partition.promised) {
      if (offset < start) partition.promised.delete(offset);
      else if (offset >= end) this.problem(`${place}@${offset} ${id} is lost: the end is ${end}`);
    }
  }

  #record(
    topic: TopicInfo,
    froms: Map<StreamId, number>,
    stream: StreamId,
    { offset, value }: LogRecord,
  ): void {
    const place = `${topic.name}/${topic.streams.indexOf(stream)}`;
    const next = froms.get(stream) ?? 0;
    if (offset !== next) this.problem(`${place}@${offset}: ${next} was due`);
    froms.set(stream, offset + 1);
    this.recordsRead++;
    const bytes = value ?? new Uint8Array(0);
    const id = idOf(bytes);
    const payloadBytes = Number(id.split('.')[2]);
    if (!(payloadBytes > 0) || !payloadOf({ id, payloadBytes }).equals(bytes)) {
      this.problem(`${place}@${offset}: altered ("${id}", ${bytes.length} bytes)`);
      return;
    }
    this.#promise(place, offset, id);
  }

  #skip(
    topic: TopicInfo,
    froms: Map<StreamId, number>,
    stream: StreamId,
    from: number,
    to: number,
  ): void {
    const place = `${topic.name}/${topic.streams.indexOf(stream)}`;
    const { promised } = this.#partition(place);
    for (let offset = from; offset < to; offset++) {
      const id = promised.get(offset);
      if (id !== undefined) this.problem(`${place}@${offset} ${id} is in a gap`);
    }
    this.unpromisedGaps += to - from;
    froms.set(stream, to);
  }
}
