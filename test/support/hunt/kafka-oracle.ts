import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { IDENTITY_HEADER } from '../../../src/identity.ts';
import { runChecked } from '../process.ts';
import type { ReadRecord } from './log-oracle.ts';

/** A record as an independent consumer saw it in Kafka. */
export interface CentralRecord extends ReadRecord {
  /** Text of the identity header. */
  readonly identity: string;
}

/**
 * Reads a topic with kcat (librdkafka) and gives each record to `take`, per partition in offset
 * order. Lengths stand before the bytes, so keys and values may hold anything.
 */
export async function readByKcat(
  options: {
    readonly bootstrap: readonly string[];
    readonly topic: string;
    readonly isolation: 'read_committed' | 'read_uncommitted';
    readonly folder: string;
  },
  take: (record: ReadRecord) => void,
): Promise<number> {
  const out = join(options.folder, `${options.topic}.${options.isolation}.kcat`);
  const flags =
    `-C -q -e -o beginning -b ${options.bootstrap.join(',')} -t ${options.topic} ` +
    `-X isolation.level=${options.isolation} -X check.crcs=true`;
  const format = String.raw`%p %o %K %S %h\n%k%s\n`;
  const toFile = ['-c', 'exec "$@" > "$OUT"', 'sh', 'kcat'];
  await runChecked(
    { command: '/bin/sh', args: [...toFile, ...flags.split(' '), '-f', format], env: { OUT: out } },
    600_000,
  );
  let count = 0;
  for await (const record of parseKcat(options.topic, createReadStream(out))) {
    count++;
    take(record);
  }
  return count;
}

async function* parseKcat(
  topic: string,
  stream: AsyncIterable<Buffer>,
): AsyncGenerator<ReadRecord> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = Buffer.concat([rest, chunk]);
    let at = 0;
    for (;;) {
      const line = rest.indexOf(0x0a, at);
      if (line < 0) break;
      const [partition, offset, keyBytes, valueBytes, ...more] = rest
        .toString('utf8', at, line)
        .split(' ');
      const keyEnd = line + 1 + Math.max(0, Number(keyBytes));
      const valueEnd = keyEnd + Math.max(0, Number(valueBytes));
      if (rest.length < valueEnd + 1) break;
      yield {
        topic,
        partition: Number(partition),
        offset: Number(offset),
        key: rest.toString('utf8', line + 1, keyEnd),
        value: Buffer.from(rest.subarray(keyEnd, valueEnd)),
        headers: parseHeaders(more.join(' ')),
      };
      at = valueEnd + 1;
    }
    rest = rest.subarray(at);
  }
  if (rest.length > 0) throw new Error(`${topic}: kcat's output ends inside a record`);
}

/** `name=value,name=value`; no value of the hunts' devices holds a comma. */
function parseHeaders(text: string): readonly (readonly [string, string])[] {
  if (text === '') return [];
  return text.split(',').map((part) => {
    const equals = part.indexOf('=');
    return [part.slice(0, equals), part.slice(equals + 1)];
  });
}

interface Expected {
  readonly record: ReadRecord;
  found: number;
}

const PROBLEMS_MAX = 20;

/** Compares a gateway's log, record by record, with what consumers see in Kafka. */
export class CentralOracle {
  readonly #gateway: string;
  readonly #incarnation: string;
  readonly #centralTopic: (topic: string) => string;
  readonly #expected = new Map<string, Expected>();
  /** By central partition and source partition: the last offset seen. */
  readonly #last = new Map<string, number>();
  readonly #home = new Map<string, string>();
  readonly #isUnordered: (topic: string) => boolean;
  readonly problems: string[] = [];
  centralRecords = 0;
  /** Records behind later ones, where that is no problem. */
  reordered = 0;

  get expectedRecords(): number {
    return this.#expected.size;
  }

  constructor(
    gateway: string,
    incarnation: string,
    centralTopic: (topic: string) => string,
    isUnordered: (topic: string) => boolean = () => false,
  ) {
    this.#isUnordered = isUnordered;
    this.#gateway = gateway;
    this.#incarnation = incarnation;
    this.#centralTopic = centralTopic;
  }

  get logRecords(): number {
    return this.#expected.size;
  }

  /** A record of the log. */
  expect(record: ReadRecord): void {
    const source = `${record.topic}/${record.partition}/${record.offset}`;
    this.#expected.set(`${this.#gateway}/${this.#incarnation}/${source}`, { record, found: 0 });
  }

  /** A record of Kafka, in offset order per partition. */
  central(record: ReadRecord): void {
    this.centralRecords++;
    const place = `${record.topic}[${record.partition}]@${record.offset}`;
    const [name, identity] = record.headers.at(-1) ?? ['', ''];
    if (name !== IDENTITY_HEADER) {
      this.#problem(`${place}: the last header is "${name}"`);
      return;
    }
    const expected = this.#expected.get(identity);
    if (expected === undefined) {
      this.#problem(`${place}: ${identity} is not in the log`);
      return;
    }
    expected.found++;
    if (expected.found > 1) this.#problem(`${place}: ${identity} for the ${expected.found}. time`);
    this.#compare(place, expected.record, record);
    this.#checkOrder(place, expected.record, record);
  }

  finish(): void {
    let missing = 0;
    for (const [identity, { found }] of this.#expected) {
      if (found > 0) continue;
      missing++;
      if (missing <= 5) this.#problem(`${identity} is not in Kafka`);
    }
    if (missing > 5) this.#problem(`${missing} records are not in Kafka`);
  }

  #compare(place: string, local: ReadRecord, central: ReadRecord): void {
    if (central.topic !== this.#centralTopic(local.topic)) this.#problem(`${place}: wrong topic`);
    if (central.key !== local.key) this.#problem(`${place}: key "${central.key}"`);
    if (Buffer.compare(central.value, local.value) !== 0) this.#problem(`${place}: value altered`);
    const ours = JSON.stringify(local.headers);
    const theirs = JSON.stringify(central.headers.slice(0, -1));
    if (ours !== theirs) this.#problem(`${place}: headers ${theirs}, in the log ${ours}`);
  }

  #checkOrder(place: string, local: ReadRecord, central: ReadRecord): void {
    const source = `${local.topic}/${local.partition}`;
    const way = `${source} ${central.topic}[${central.partition}]`;
    const before = this.#last.get(way) ?? -1;
    if (local.offset <= before) {
      if (this.#isUnordered(local.topic)) this.reordered++;
      else this.#problem(`${place}: ${source}@${local.offset} after @${before}`);
    }
    this.#last.set(way, Math.max(before, local.offset));
    const key = `${central.topic} ${central.key}`;
    const home = this.#home.get(key) ?? String(central.partition);
    this.#home.set(key, home);
    if (home !== String(central.partition)) {
      this.#problem(`${place}: key "${central.key}" is in partition ${home} as well`);
    }
  }

  #problem(text: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(text);
  }
}
