import { crc32 } from 'node:zlib';
import { must } from '../../assert.ts';
import { GatelogError, messageOf } from '../../errors.ts';
import { decodeHeaders } from '../../headers.ts';
import { IDENTITY_HEADER, parseIdentity, type RecordIdentity } from '../../identity.ts';
import { LIMITS } from '../../limits.ts';
import { Auditor } from '../../mirror/audit.ts';
import { OffsetSet } from '../../mirror/offset-set.ts';
import type { LogRecord, StreamId } from '../../record.ts';
import type { LogReader } from '../../store/log.ts';
import type { DemoReport, DevicesReport, EdgeReport } from './report.ts';

/** What a sensor knows of its own readings; numbered from 1 without gaps. */
export interface Testimony {
  readonly name: string;
  readonly lastSeq: number;
  readonly unacknowledged: ReadonlySet<number>;
}

/** One partition of the log, in the form that identities have it: `telemetry/3`. */
export type PartitionName = string;

export interface VerifyOptions {
  readonly gateway: string;
  readonly incarnation: string;
  readonly run: string;
  readonly devices: readonly Testimony[];
  /** Where the log ended when this run began. */
  readonly runFrom: ReadonlyMap<PartitionName, number>;
  /** What the mirror had confirmed when it was last asked: next offsets wanted. */
  readonly confirmed: ReadonlyMap<PartitionName, number>;
  readonly edge: LogReader;
}

/** A record at the centre. */
export interface ArrivedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: Uint8Array | null;
  /** Value of its identity header. */
  readonly identity: string | undefined;
  /** Absent where the reader does not hand it over; then contents are not compared. */
  readonly value?: Uint8Array | null;
}

/** Names of the product's own topics begin so; they are not mirrored. */
const OWN_TOPIC = '_';

/**
 * The demo's judge. It reads the logs themselves after the agents have stopped, and believes only
 * the devices (what was acknowledged) and the identities on the records.
 */
export class Verifier {
  readonly #options: VerifyOptions;
  readonly #auditor = new Auditor();
  /** CRC-32 of key and value, by partition and offset from its start. */
  readonly #sums = new Map<PartitionName, { readonly start: number; readonly sums: number[] }>();
  readonly #ends = new Map<PartitionName, number>();
  readonly #arrived = new Map<PartitionName, number>();
  readonly #seen: ReadonlyMap<string, { readonly set: OffsetSet; latest: number }>;
  #edgeRecords = 0;
  #runRecords = 0;
  #unreadable = 0;
  #sentAgain = 0;
  #disorder = 0;
  #altered = 0;
  #compared = true;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#seen = new Map(
      options.devices.map(({ name }) => [name, { set: new OffsetSet(), latest: 0 }]),
    );
  }

  /** `arrived`: every record of the centre, each of its partitions in its own order. */
  async verify(
    centre: string,
    arrived: AsyncIterable<readonly ArrivedRecord[]>,
  ): Promise<DemoReport> {
    await this.#readEdge();
    this.#expect();
    const failure = await this.#readArrived(arrived);
    return this.#report(centre, failure);
  }

  /** Why the centre could not be read to its end; undefined when it was. */
  async #readArrived(
    arrived: AsyncIterable<readonly ArrivedRecord[]>,
  ): Promise<string | undefined> {
    try {
      for await (const records of arrived) {
        for (const record of records) this.#take(record);
      }
      return undefined;
    } catch (error) {
      if (error instanceof GatelogError) return messageOf(error);
      throw error;
    }
  }

  #take(record: ArrivedRecord): void {
    const identity = record.identity === undefined ? undefined : parseIdentity(record.identity);
    if (identity !== undefined && !this.#isOurs(identity)) return;
    const key = record.key === null ? null : Buffer.from(record.key).toString('latin1');
    this.#auditor.feed(identity, key, record);
    if (identity !== undefined) this.#noteArrival(identity, record);
    this.#compared &&= record.value !== undefined;
  }

  async #readEdge(): Promise<void> {
    const { edge } = this.#options;
    for (const { topic, partition, stream } of partitionsOf(edge)) {
      const { startOffset, endOffset } = edge.range(stream);
      this.#sums.set(`${topic}/${partition}`, { start: startOffset, sums: [] });
      this.#ends.set(`${topic}/${partition}`, endOffset);
    }
    for await (const { topic, partition, records, unreadable } of slicesOf(edge)) {
      this.#unreadable += unreadable;
      const kept = must(this.#sums.get(`${topic}/${partition}`), 'every partition has its sums');
      for (const record of records) {
        this.#edgeRecords++;
        kept.sums[record.offset - kept.start] = sumOf(record.key, record.value);
        this.#note(record);
      }
    }
  }

  /** Takes a record of this run as a sensor's reading. */
  #note(record: LogRecord): void {
    const reading = readingOf(record);
    if (reading?.run !== this.#options.run) return;
    const seen = this.#seen.get(reading.sensor);
    if (seen === undefined) return;
    this.#runRecords++;
    if (!seen.set.add(reading.seq)) this.#sentAgain++;
    else if (reading.seq < seen.latest) this.#disorder++;
    else seen.latest = reading.seq;
  }

  #expect(): void {
    const { gateway, incarnation, confirmed } = this.#options;
    for (const [name, { start }] of this.#sums) {
      const at = name.lastIndexOf('/');
      const topic = name.slice(0, at);
      const to = confirmed.get(name) ?? start;
      if (to <= start) continue;
      const source = { gateway, incarnation, topic, partition: Number(name.slice(at + 1)) };
      this.#auditor.expect(source, { from: start, to });
    }
  }

  #isOurs(source: Omit<RecordIdentity, 'offset'>): boolean {
    const { gateway, incarnation } = this.#options;
    return source.gateway === gateway && source.incarnation === incarnation;
  }

  #noteArrival(identity: RecordIdentity, { key, value }: ArrivedRecord): void {
    const name = `${identity.topic}/${identity.partition}`;
    const kept = this.#sums.get(name);
    this.#arrived.set(name, Math.max(this.#arrived.get(name) ?? 0, identity.offset + 1));
    // Older than what the edge still has: nothing to compare with.
    if (value === undefined || kept === undefined || identity.offset < kept.start) return;
    if (kept.sums[identity.offset - kept.start] !== sumOf(key, value)) this.#altered++;
  }

  #report(centre: string, unread: string | undefined): DemoReport {
    let waiting = 0;
    for (const [name, end] of this.#ends) {
      const { start } = must(this.#sums.get(name), 'every partition has its sums');
      const confirmed = this.#options.confirmed.get(name) ?? 0;
      waiting += Math.max(0, end - Math.max(start, confirmed, this.#arrived.get(name) ?? 0));
    }
    return {
      devices: this.#devices(),
      edge: this.#edge(),
      centre: {
        name: centre,
        audit: this.#auditor.report(),
        altered: this.#compared ? this.#altered : undefined,
        waiting,
        unread,
      },
    };
  }

  #devices(): DevicesReport {
    const { devices } = this.#options;
    const missing: string[] = [];
    let missingCount = 0;
    let expired = 0;
    const outlived = this.#retentionTookOfThisRun();
    for (const { name, lastSeq, unacknowledged } of devices) {
      const { set } = must(this.#seen.get(name), 'every device is watched');
      // What retention took is the log's beginning, so a sensor's first readings.
      const from = outlived && set.size > 0 ? set.first : 1;
      expired += from - 1;
      for (const hole of set.missing(from, lastSeq + 1)) {
        for (let seq = hole.from; seq < hole.to; seq++) {
          if (unacknowledged.has(seq)) continue;
          missingCount++;
          if (missing.length < LIMITS.auditSamples) missing.push(`${name} ${seq}`);
        }
      }
    }
    const measured = devices.reduce((sum, { lastSeq }) => sum + lastSeq, 0);
    const open = devices.reduce((sum, { unacknowledged }) => sum + unacknowledged.size, 0);
    return {
      sensors: devices.length,
      acknowledged: measured - open,
      unacknowledged: open,
      missing: missingCount,
      missingSamples: missing,
      expired,
    };
  }

  #retentionTookOfThisRun(): boolean {
    const { runFrom } = this.#options;
    return [...this.#sums].some(([name, { start }]) => start > (runFrom.get(name) ?? 0));
  }

  #edge(): EdgeReport {
    return {
      records: this.#edgeRecords,
      runRecords: this.#runRecords,
      sentAgain: this.#sentAgain,
      disorder: this.#disorder,
      unreadable: this.#unreadable,
    };
  }
}

export function partitionsOf(
  reader: LogReader,
): { readonly topic: string; readonly partition: number; readonly stream: StreamId }[] {
  return reader
    .topics()
    .filter(({ name }) => !name.startsWith(OWN_TOPIC))
    .flatMap(({ name, streams }) =>
      streams.map((stream, partition) => ({ topic: name, partition, stream })),
    );
}

interface NamedSlice {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly LogRecord[];
  /** How many records the log could not read. */
  readonly unreadable: number;
}

async function* slicesOf(reader: LogReader): AsyncGenerator<NamedSlice, void, void> {
  const partitions = new Map(partitionsOf(reader).map((one) => [one.stream, one]));
  const from = new Map(
    [...partitions.keys()].map((stream) => [stream, reader.range(stream).startOffset]),
  );
  const nameOf = (stream: StreamId): { topic: string; partition: number } =>
    must(partitions.get(stream), 'a cursor reads only what it was asked for');
  const cursor = reader.cursor(from);
  try {
    for (;;) {
      const batch = await cursor.next({
        maxRecords: LIMITS.readRecords,
        maxBytes: LIMITS.readBytes,
      });
      for (const { stream, fromOffset, toOffset } of batch.gaps) {
        yield { ...nameOf(stream), records: [], unreadable: toOffset - fromOffset };
      }
      for (const { stream, records } of batch.slices) {
        yield { ...nameOf(stream), records, unreadable: 0 };
      }
      if (batch.records === 0 && batch.gaps.length === 0) return;
    }
  } finally {
    await cursor.close();
  }
}

/** Every record of a central agent's log, as the verifier takes it. */
export async function* arrivedIn(
  reader: LogReader,
): AsyncGenerator<readonly ArrivedRecord[], void, void> {
  for await (const { topic, partition, records } of slicesOf(reader)) {
    yield records.map(({ offset, key, value, headers }) => {
      return { topic, partition, offset, key, value, identity: identityOf(headers) };
    });
  }
}

function identityOf(headers: Uint8Array): string | undefined {
  const header = decodeHeaders(headers).findLast(({ key }) => key === IDENTITY_HEADER);
  if (header === undefined || header.value === null) return undefined;
  return Buffer.from(header.value).toString('utf8');
}

function sumOf(key: Uint8Array | null, value: Uint8Array | null): number {
  return crc32(value ?? '', crc32(key ?? ''));
}

interface Reading {
  readonly sensor: string;
  readonly run: string;
  readonly seq: number;
}

/** What a sensor of the demo sent, or undefined when the record is somebody else's. */
function readingOf(record: LogRecord): Reading | undefined {
  try {
    const body: unknown = JSON.parse(Buffer.from(record.value ?? '').toString('utf8'));
    if (typeof body !== 'object' || body === null) return undefined;
    const { sensor, run, seq } = body as Partial<Record<keyof Reading, unknown>>;
    if (typeof sensor !== 'string' || typeof run !== 'string') return undefined;
    return typeof seq === 'number' && Number.isSafeInteger(seq) && seq > 0
      ? { sensor, run, seq }
      : undefined;
  } catch {
    // Anyone may publish to the demo's agent, and anything.
    return undefined;
  }
}
