import { partitionOfKey } from '../../../src/murmur2.ts';
import type { ReadGap } from '../../../src/store/log.ts';
import type { Sighting } from './live-reader.ts';
import { idOf, type Ledger, type Message, payloadOf } from './messages.ts';

/** A record as read from a log by whatever means. */
export interface ReadRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: Uint8Array;
  /** In order, as text. */
  readonly headers: readonly (readonly [string, string])[];
}

/** What a topic's partition can give now: offsets from `start` to `end` - 1. */
export interface ReadRange {
  readonly topic: string;
  readonly partition: number;
  readonly start: number;
  readonly end: number;
}

const PROBLEMS_MAX = 20;

/**
 * Judges readings of one data folder against what devices were promised. It remembers what stood
 * at every offset, over all lives of the agent, so that a reused or altered offset shows.
 */
export class LogOracle {
  readonly #ledger: Ledger;
  readonly #partitions: ReadonlyMap<string, number>;
  /** By `topic/partition`: the message id at each offset that was ever read. */
  readonly #seen = new Map<string, string[]>();
  /** By device and MQTT topic: the highest sequence whose first copy was read. */
  readonly #order = new Map<string, number>();
  readonly problems: string[] = [];
  #problemCount = 0;
  recordsRead = 0;
  /** Records that the log no longer holds, as of the last reading. */
  retired = 0;

  constructor(ledger: Ledger, partitions: ReadonlyMap<string, number>) {
    this.#ledger = ledger;
    this.#partitions = partitions;
  }

  /** Next offset of a stream that was never read; records below it are checked as repeats. */
  known(topic: string, partition: number): number {
    return this.#seen.get(`${topic}/${partition}`)?.length ?? 0;
  }

  get knownRecords(): number {
    let count = 0;
    for (const ids of this.#seen.values()) count += ids.length;
    return count;
  }

  get problemCount(): number {
    return this.#problemCount;
  }

  /** The id that was read at this place, or undefined. */
  at(topic: string, partition: number, offset: number): string | undefined {
    return this.#seen.get(`${topic}/${partition}`)?.[offset];
  }

  streams(): readonly ReadRange[] {
    return [...this.#seen].map(([name, ids]) => {
      const slash = name.lastIndexOf('/');
      const partition = Number(name.slice(slash + 1));
      return { topic: name.slice(0, slash), partition, start: 0, end: ids.length };
    });
  }

  /** Records MUST be given in offset order per partition. */
  record(record: ReadRecord): void {
    this.recordsRead++;
    const place = `${record.topic}/${record.partition}`;
    let ids = this.#seen.get(place);
    if (ids === undefined) this.#seen.set(place, (ids = []));
    const id = idOf(record.value);
    const message = this.#ledger.get(id);
    if (message === undefined) {
      this.problem(`${place}@${record.offset}: foreign record "${id}"`);
      return;
    }
    this.#compare(place, record, message);
    if (record.offset < ids.length) {
      if (ids[record.offset] !== id) {
        this.problem(`${place}@${record.offset}: was ${ids[record.offset]}, now ${id} (reused)`);
      }
      return;
    }
    if (record.offset > ids.length) {
      this.problem(`${place}: hole, offsets ${ids.length} to ${record.offset - 1} are missing`);
      for (let missing = ids.length; missing < record.offset; missing++) ids.push('?');
    }
    ids.push(id);
    this.#first(place, record.offset, message);
  }

  /** A reader was told of a range that the log should hold. */
  gap(
    gap: ReadGap,
    place: { readonly topic: string; readonly partition: number } | undefined,
  ): void {
    const name = place === undefined ? `stream ${gap.stream}` : `${place.topic}/${place.partition}`;
    this.problem(`${name}: gap ${gap.fromOffset} to ${gap.toOffset - 1} (${gap.reason})`);
  }

  /** After the records of a reading: the ranges that the log itself states. */
  ranges(ranges: readonly ReadRange[]): void {
    this.retired = ranges.reduce((sum, { start }) => sum + start, 0);
    for (const { topic, partition, start, end } of ranges) {
      const known = this.known(topic, partition);
      const place = `${topic}/${partition}`;
      if (end < known) this.problem(`${place}: ends at ${end}, records up to ${known} were read`);
      if (end > known) this.problem(`${place}: ends at ${end}, only ${known} can be read`);
      if (start > known) this.problem(`${place}: starts at ${start}, never read from ${known}`);
    }
  }

  /** After a complete reading: what a reader was shown in an earlier life. */
  shown({ topic, partition, offset, id }: Sighting): void {
    const found = this.at(topic, partition, offset);
    if (found === id) return;
    this.problem(`${topic}/${partition}@${offset}: a reader saw ${id}, the log has ${found}`);
  }

  /** After a complete reading of a log that nobody writes. */
  complete(): void {
    for (const message of this.#ledger.owed()) {
      this.problem(`${message.id} (QoS ${message.qos}) was acknowledged and is not in the log`);
    }
  }

  /** At the end: no message has more records than times it was sent. */
  finish(): void {
    this.complete();
    for (const message of this.#ledger.all()) {
      if (message.copies > message.attempts) {
        this.problem(`${message.id}: ${message.copies} records of ${message.attempts} sendings`);
      }
    }
  }

  #first(place: string, offset: number, message: Message): void {
    this.#ledger.found(message);
    if (message.copies > 1 && message.qos === 2) {
      this.problem(`${place}@${offset}: ${message.id} (QoS 2) a second time`);
    }
    if (message.copies > 1 || message.qos === 0 || message.isAhead === true) return;
    const key = `${message.device} ${message.mqttTopic}`;
    const before = this.#order.get(key) ?? -1;
    if (message.sequence < before) {
      this.problem(`${place}@${offset}: ${message.id} after ${message.device}-${before}`);
    }
    this.#order.set(key, Math.max(before, message.sequence));
  }

  #compare(place: string, record: ReadRecord, message: Message): void {
    const where = `${place}@${record.offset} ${message.id}`;
    if (!payloadOf(message).equals(record.value)) this.problem(`${where}: payload altered`);
    if (record.key !== message.mqttTopic) this.problem(`${where}: key "${record.key}"`);
    const headers = new Map(record.headers);
    if (headers.get('mqtt.topic') !== message.mqttTopic) this.problem(`${where}: mqtt.topic`);
    if (headers.get('mqtt.qos') !== String(message.qos)) this.problem(`${where}: mqtt.qos`);
    const partitions = this.#partitions.get(record.topic);
    if (partitions === undefined) {
      this.problem(`${where}: unknown topic`);
      return;
    }
    const expected = partitionOfKey(Buffer.from(record.key), partitions);
    if (record.partition !== expected) this.problem(`${where}: belongs in ${expected}`);
  }

  problem(text: string): void {
    this.#problemCount++;
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(text);
  }
}
