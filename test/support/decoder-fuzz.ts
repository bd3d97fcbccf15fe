import { zstdCompressSync } from 'node:zlib';
import { decodeHeaders } from '../../src/headers.ts';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom, type Random } from '../../src/random.ts';
import { streamId, type StreamId } from '../../src/record.ts';
import { Batch } from '../../src/store/batch.ts';
import { packCheckpoint, unpackCheckpoint } from '../../src/store/checkpoint.ts';
import { CommitDecoder } from '../../src/store/commit-decoder.ts';
import { CommitEncoder } from '../../src/store/commit-encoder.ts';
import { readHead, type CommitHead } from '../../src/store/commit-head.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import { rawBody } from '../../src/store/compression.ts';
import { FRAME_HEADER_BYTES, readFrame, writeFrame, type Frame } from '../../src/store/frame.ts';
import { LogState } from '../../src/store/log-state.ts';
import { packed } from '../../src/store/pack.ts';
import { Reading } from '../../src/store/reading.ts';

/**
 * Throws bytes at everything that reads the log: commits and checkpoints as we write them with bytes
 * changed, parts exchanged for hostile ones, compression bombs, and noise. Checksums are made right again
 * after the change in most cases, else nothing behind them would ever be reached.
 */
export interface FuzzResult {
  readonly inputs: number;
  /** Inputs that were taken for a commit or checkpoint all the same, and those that were refused. */
  readonly accepted: number;
  readonly refused: number;
  /** Growth of the process over its size after the warm-up. */
  readonly peakGrowthBytes: number;
}

const KEY = entryKey(7, 'commit');
const BOMB_BYTES = 64 * 1024 * 1024;
const MEMORY_EVERY = 512;

export async function fuzzDecoder(seed: number, inputs: number): Promise<FuzzResult> {
  const fuzzer = new Fuzzer(seed);
  for (let index = 0; index < 2000; index++) fuzzer.one();
  const before = process.memoryUsage.rss();
  let peak = before;
  for (let index = 0; index < inputs; index++) {
    fuzzer.one();
    if (index % MEMORY_EVERY !== 0) continue;
    peak = Math.max(peak, process.memoryUsage.rss());
    // What compression's native parts hold is given back between turns only.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
  const { accepted, refused } = fuzzer;
  return { inputs: accepted + refused, accepted, refused, peakGrowthBytes: peak - before };
}

class Fuzzer {
  readonly #random: Random;
  readonly #encoder = new CommitEncoder(LIMITS.commitRecords);
  readonly #batch = new Batch();
  readonly #decoder = new CommitDecoder();
  readonly #bomb: Uint8Array = zstdCompressSync(Buffer.alloc(BOMB_BYTES));
  accepted = 0;
  refused = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  one(): void {
    const kind = this.#below(10);
    if (kind < 5) this.#tell(this.#commit(this.#mutatedCommit()));
    else if (kind < 6) this.#tell(this.#commit(this.#hostileCommit()));
    else if (kind < 7) this.#tell(this.#below(10) === 0 ? this.#bombed() : this.#noise());
    else if (kind < 9) this.#tell(this.#checkpoint());
    else this.#tell(this.#noise());
  }

  #tell(accepted: boolean): void {
    if (accepted) this.accepted++;
    else this.refused++;
  }

  /** The way of a cursor. */
  #commit(value: Uint8Array): boolean {
    const frame = readFrame(KEY, value);
    const head = frame === undefined ? undefined : readHead(frame.head);
    if (frame === undefined || head === undefined) return false;
    const body = rawBody(frame);
    if (body === undefined || !this.#decoder.open(body, head)) return false;
    const from = new Map<StreamId, number>(
      head.runs.map(({ stream, baseOffset }) => [streamId(stream), baseOffset]),
    );
    const reading = new Reading(from, new LogState(), { maxRecords: 1e5, maxBytes: 1e9 });
    const wanted = reading.plan(head);
    if (wanted === undefined) return head.runs.length === 0;
    if (!this.#decoder.decode(head, wanted, reading)) throw new Error('all of it fits');
    checkRecords(head, reading);
    return true;
  }

  #mutatedCommit(): Uint8Array {
    const random = this.#random;
    const batch = this.#batch;
    const count = this.#below(this.#below(20) === 0 ? 300 : 12);
    const next = new Map<number, number>();
    for (let index = 0; index < count; index++) {
      const stream = this.#below(4) * this.#below(100);
      const offset = next.get(stream) ?? stream * 10;
      next.set(stream, offset + 1);
      const parts = [this.#bytes(20), this.#bytes(60), this.#bytes(10)] as const;
      const size = parts[0].length + parts[1].length + parts[2].length;
      const time = 1e12 + this.#below(random.next() < 0.1 ? 1e12 : 1000);
      batch.addRecord(stream, offset, time, parts[0], parts[1], parts[2], size, undefined);
    }
    if (random.next() < 0.2) batch.addProducer('p', this.#below(1e6));
    const topics = random.next() < 0.2 ? [TOPIC] : [];
    const encoded = this.#encoder.encode(batch, topics);
    batch.settle(null);
    const head = Buffer.from(encoded.head);
    const raw = Buffer.from(encoded.body);
    const compressed = raw.length > 200 && random.next() < 0.5;
    const place = this.#below(5);
    if (place === 0 || place === 4) this.#mutate(head);
    if (place === 1 || place === 4) this.#mutate(raw);
    const body = compressed ? zstdCompressSync(raw) : raw;
    if (place === 2) this.#mutate(body);
    const value = framed({ head, body, compressed, rawBodyBytes: raw.length });
    if (place === 3) {
      this.#mutate(value);
      // Mostly with its old checksum: then it MUST be refused.
      if (random.next() < 0.5) resealed(value);
    }
    return value;
  }

  /** A head and a body of which parts are exchanged for ones that claim a lot. */
  #hostileCommit(): Uint8Array {
    const directory = Buffer.concat(
      Array.from({ length: 5 * (1 + this.#below(3)) }, () => this.#varint()),
    );
    const head = this.#listOf([1e12, 10, directory, null, [['p', 3]]]);
    const columns = [0, EMPTY, 1, EMPTY, 1, EMPTY, 0, EMPTY, this.#bytes(50)];
    const body = this.#listOf(columns);
    return framed({ head, body, compressed: false, rawBodyBytes: body.length });
  }

  #listOf(parts: readonly unknown[]): Buffer {
    const bytes = parts.map((part) => (this.#below(4) === 0 ? this.#hostile() : packed(part)));
    const lie = this.#below(12) === 0 ? this.#hostile() : Buffer.from([0x90 | parts.length]);
    return Buffer.concat([lie, ...bytes]);
  }

  #hostile(): Buffer {
    const hostile = HOSTILE[this.#below(HOSTILE.length)];
    if (hostile !== undefined && this.#below(8) > 0) return hostile;
    return Buffer.alloc(1 + this.#below(3000), 0x90 | (1 + this.#below(15)));
  }

  #varint(): Buffer {
    const kinds = [this.#below(3), this.#below(300), this.#below(2 ** 31), 2 ** 50, 2 ** 53 - 1];
    let rest = kinds[this.#below(kinds.length)] ?? 0;
    const bytes: number[] = [];
    while (rest >= 0x80) {
      bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    bytes.push(rest);
    return Buffer.from(bytes);
  }

  /** A body of 64 MiB in two kilobytes, with a header that says so or does not. */
  #bombed(): boolean {
    const head = packed([0, 0, Buffer.from([0, 1, 0, 1, 0])]);
    const says = [100, LIMITS.bodyBytes, LIMITS.bodyBytes + 1, BOMB_BYTES, 2 ** 32 - 1];
    const rawBodyBytes = says[this.#below(says.length)] ?? 0;
    return this.#commit(framed({ head, body: this.#bomb, compressed: true, rawBodyBytes }));
  }

  #checkpoint(): boolean {
    const streams = this.#below(6);
    const numbers = (): number[] => Array.from({ length: streams }, () => this.#below(1e9));
    let bytes = packCheckpoint({
      commit: 1000 + this.#below(1e6),
      previous: this.#below(1000),
      incarnation: '0123456789abcdef',
      createdMs: 1e12,
      segmentBytes: this.#below(1e9),
      topics: [TOPIC],
      next: numbers(),
      stored: numbers(),
      latest: numbers(),
      newest: numbers(),
      producers: [['p', this.#below(1e6)]],
      producersBefore: -1,
      ...(this.#below(2) === 0 ? {} : { start: numbers(), storedBefore: numbers() }),
    });
    if (this.#below(4) === 0) {
      const hostile = this.#hostile();
      const at = this.#below(bytes.length);
      bytes = Buffer.concat([bytes.subarray(0, at), hostile, bytes.subarray(at + 1)]);
    } else {
      this.#mutate(bytes);
    }
    return unpackCheckpoint(bytes) !== undefined;
  }

  /** Bytes of no form, for every reader. */
  #noise(): boolean {
    const bytes = this.#bytes(200);
    let accepted = readFrame(KEY, bytes) !== undefined;
    accepted = readHead(bytes) !== undefined || accepted;
    accepted = unpackCheckpoint(bytes) !== undefined || accepted;
    try {
      decodeHeaders(bytes);
      accepted = true;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
    return this.#commit(framed({ head: bytes, ...BODY })) || accepted;
  }

  #mutate(bytes: Buffer): void {
    if (bytes.length === 0) return;
    for (let round = this.#below(4); round >= 0; round--) {
      const at = this.#below(bytes.length);
      const how = this.#below(4);
      if (how === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#below(8));
      else if (how === 1) bytes[at] = this.#below(256);
      else if (how === 2) bytes.fill(this.#below(2) * 255, at, Math.min(bytes.length, at + 16));
      else bytes.copyWithin(at, this.#below(bytes.length), bytes.length);
    }
  }

  #bytes(atMost: number): Buffer {
    const bytes = Buffer.alloc(this.#below(atMost));
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.#below(256);
    return bytes;
  }

  #below(bound: number): number {
    return Math.floor(this.#random.next() * bound);
  }
}

const EMPTY = Buffer.alloc(0);
const BODY = { body: EMPTY, compressed: false, rawBodyBytes: 0 };
const TOPIC = {
  name: 'telemetry',
  options: {
    partitions: 2,
    durability: 'fsync',
    retentionMs: undefined,
    retentionBytes: 1e9,
  },
  streams: [0, 1],
} as const;

/** Claims of length that nothing follows, and values where others are expected. */
const HOSTILE: readonly Buffer[] = [
  [0xdd, 0xff, 0xff, 0xff, 0xff], // A list of 2^32 - 1.
  [0xdd, 0x01, 0xff, 0xff, 0xff], // One that a list of fast elements would be made for at once.
  [0xdf, 0xff, 0xff, 0xff, 0xff], // A map.
  [0xc6, 0xff, 0xff, 0xff, 0xff], // A binary.
  [0xdb, 0xff, 0xff, 0xff, 0xff], // A text.
  [0xc9, 0xff, 0xff, 0xff, 0xff, 0x72], // An extension.
  [0xd4, 0x72, 0x40], // The definition of a record.
  [0xc4, 0x03, 0x01, 0x02, 0x03], // A binary of three bytes.
  [0xc4, 0x00],
  [0xc0],
  [0xc3],
  [0x90],
  [0xa1, 0x70],
  [0xff],
  [0xcf, 0x00, 0x20, 0, 0, 0, 0, 0, 0], // 2^53.
  [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], // NaN.
  [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], // Infinity.
  [0xcb, 0xc3, 0x40, 0, 0, 0, 0, 0, 0], // -2^53.
  [0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0], // 0.5.
].map((bytes) => Buffer.from(bytes));

function framed(frame: Frame): Buffer {
  const room = FRAME_HEADER_BYTES + frame.head.length + frame.body.length;
  return writeFrame(Buffer.alloc(room), KEY, frame);
}

/** With the checksum that belongs to what it says now. */
function resealed(value: Buffer): void {
  const headEnd = FRAME_HEADER_BYTES + value.readUInt32BE(8);
  if (headEnd > value.length) return;
  const header = Buffer.from(value.subarray(0, FRAME_HEADER_BYTES));
  const sealed = framed({
    head: value.subarray(FRAME_HEADER_BYTES, headEnd),
    body: value.subarray(headEnd),
    compressed: (header[5] ?? 0) % 2 === 1,
    rawBodyBytes: header.readUInt32BE(12),
  });
  sealed.copy(value);
}

/** What was decoded is what the head says, and every view lies inside its bytes. */
function checkRecords(head: CommitHead, reading: Reading): void {
  const batch = reading.batch();
  if (batch.records !== head.count) throw new Error('not every record of the head was decoded');
  for (const { records } of batch.slices) {
    for (const { key, value, headers, timestampMs, offset } of records) {
      const size = (key?.length ?? 0) + (value?.length ?? 0) + headers.length;
      if (!Number.isSafeInteger(size) || size > LIMITS.bodyBytes) throw new Error('a size');
      if (!Number.isSafeInteger(timestampMs)) throw new Error('a time is no whole number');
      if (!Number.isSafeInteger(offset)) throw new Error('an offset is no whole number');
    }
  }
  const bytes = head.runs.reduce((sum, run) => sum + run.bytes, 0);
  if (batch.bytes !== bytes) throw new Error('the records do not come to what the head says');
}
