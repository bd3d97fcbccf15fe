import { crc32 } from 'node:zlib';
import { must } from '../../assert.ts';
import { decodeHeaders } from '../../headers.ts';
import { IDENTITY_HEADER, parseIdentity, type RecordIdentity } from '../../identity.ts';
import { LIMITS } from '../../limits.ts';
import { Auditor, type AuditReport } from '../../mirror/audit.ts';
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

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#seen = new Map(
      options.devices.map(({ name }) => [name, { set: new OffsetSet(), latest: 0 }]),
    );
  }

  async verifyWithCentral(central: LogReader): Promise<DemoReport> {
    await this.#readEdge();
    this.#expect();
    await readAll(central, (topic, partition, record) => {
      const identity = identityOf(record);
      if (identity !== undefined && !this.#isOurs(identity)) return;
      const key = record.key === null ? null : Buffer.from(record.key).toString('latin1');
      this.#auditor.feed(identity, key, { topic, partition, offset: record.offset });
      if (identity !== undefined) this.#compare(identity, record);
    });
    return this.#report('central', this.#auditor.report(), this.#altered);
  }

  /** `audit`: what an independent reader of the cluster found, told what must be there. */
  async verifyWithKafka(
    audit: (expect: (auditor: Auditor) => void) => Promise<AuditReport>,
  ): Promise<DemoReport> {
    await this.#readEdge();
    const report = await audit((auditor) => this.#expect(auditor));
    for (const source of report.sources) {
      if (!this.#isOurs(source) || source.lastOffset === undefined) continue;
      this.#arrived.set(`${source.topic}/${source.partition}`, source.lastOffset + 1);
    }
    return this.#report('Kafka', report, undefined);
  }

  async #readEdge(): Promise<void> {
    const { edge } = this.#options;
    for (const { topic, partition, stream } of partitionsOf(edge)) {
      const { startOffset, endOffset } = edge.range(stream);
      this.#sums.set(`${topic}/${partition}`, { start: startOffset, sums: [] });
      this.#ends.set(`${topic}/${partition}`, endOffset);
    }
    const missing = await readAll(edge, (topic, partition, record) => {
      this.#edgeRecords++;
      const kept = must(this.#sums.get(`${topic}/${partition}`), 'every partition has its sums');
      kept.sums[record.offset - kept.start] = sumOf(record);
      this.#note(record);
    });
    this.#unreadable = missing;
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

  #expect(auditor: Auditor = this.#auditor): void {
    const { gateway, incarnation, confirmed } = this.#options;
    for (const [name, { start }] of this.#sums) {
      const at = name.lastIndexOf('/');
      const topic = name.slice(0, at);
      const to = confirmed.get(name) ?? start;
      if (to <= start) continue;
      const source = { gateway, incarnation, topic, partition: Number(name.slice(at + 1)) };
      auditor.expect(source, { from: start, to });
    }
  }

  #isOurs(source: Omit<RecordIdentity, 'offset'>): boolean {
    const { gateway, incarnation } = this.#options;
    return source.gateway === gateway && source.incarnation === incarnation;
  }

  #compare(identity: RecordIdentity, record: LogRecord): void {
    const name = `${identity.topic}/${identity.partition}`;
    const kept = this.#sums.get(name);
    this.#arrived.set(name, Math.max(this.#arrived.get(name) ?? 0, identity.offset + 1));
    // Older than what the edge still has: nothing to compare with.
    if (kept === undefined || identity.offset < kept.start) return;
    if (kept.sums[identity.offset - kept.start] !== sumOf(record)) this.#altered++;
  }

  #report(centre: string, audit: AuditReport, altered: number | undefined): DemoReport {
    let waiting = 0;
    for (const [name, end] of this.#ends) {
      const { start } = must(this.#sums.get(name), 'every partition has its sums');
      const confirmed = this.#options.confirmed.get(name) ?? 0;
      waiting += Math.max(0, end - Math.max(start, confirmed, this.#arrived.get(name) ?? 0));
    }
    return {
      devices: this.#devices(),
      edge: this.#edge(),
      centre: { name: centre, audit, altered, waiting },
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

function partitionsOf(
  reader: LogReader,
): { readonly topic: string; readonly partition: number; readonly stream: StreamId }[] {
  return reader
    .topics()
    .filter(({ name }) => !name.startsWith(OWN_TOPIC))
    .flatMap(({ name, streams }) =>
      streams.map((stream, partition) => ({ topic: name, partition, stream })),
    );
}

/** Hands over every record of the log; returns how many the log could not read. */
async function readAll(
  reader: LogReader,
  take: (topic: string, partition: number, record: LogRecord) => void,
): Promise<number> {
  const partitions = new Map(partitionsOf(reader).map((one) => [one.stream, one]));
  const from = new Map(
    [...partitions.keys()].map((stream) => [stream, reader.range(stream).startOffset]),
  );
  let unreadable = 0;
  const cursor = reader.cursor(from);
  const limits = { maxRecords: LIMITS.readRecords, maxBytes: LIMITS.readBytes };
  try {
    for (;;) {
      const batch = await cursor.next(limits);
      for (const gap of batch.gaps) unreadable += gap.toOffset - gap.fromOffset;
      for (const { stream, records } of batch.slices) {
        const place = must(partitions.get(stream), 'a cursor reads only what it was asked for');
        for (const record of records) take(place.topic, place.partition, record);
      }
      if (batch.records === 0 && batch.gaps.length === 0) return unreadable;
    }
  } finally {
    await cursor.close();
  }
}

function identityOf(record: LogRecord): RecordIdentity | undefined {
  const header = decodeHeaders(record.headers).findLast(({ key }) => key === IDENTITY_HEADER);
  if (header === undefined || header.value === null) return undefined;
  return parseIdentity(Buffer.from(header.value).toString('utf8'));
}

function sumOf(record: LogRecord): number {
  return crc32(record.value ?? '', crc32(record.key ?? ''));
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
