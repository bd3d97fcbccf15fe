import { LINK_LIMITS } from '../link-limits.ts';
import { expiresAtMs } from '../message-expiry.ts';
import type { Slice } from '../store/log.ts';
import type { StreamId } from '../record.ts';
import {
  type Expired,
  isEmpty,
  type MirrorBatch,
  type MirrorCursor,
  type MirrorGap,
  NOTHING,
  type Resumed,
} from './mirror-cursor.ts';
import type { ReadLimits } from './range-cursor.ts';
import { densePartsOf, recordBytes } from './slices.ts';

/**
 * Leaves out what has expired by the time that it is read (MQTT 5, section 3.3.2.3.3). Where nothing else is
 * read it goes on, and tells of much at once: to tell the far side costs as much as a batch of records.
 */
export class ExpiringCursor implements MirrorCursor {
  readonly #inner: MirrorCursor;
  /** Wall clock in ms; undefined while it is not to be believed: then nothing expires. */
  readonly #nowMs: (() => number | undefined) | undefined;
  /** Read behind what is only told, and not given yet: it may be of another class. */
  #held: MirrorBatch | undefined;

  constructor(inner: MirrorCursor, nowMs: (() => number | undefined) | undefined) {
    this.#inner = inner;
    this.#nowMs = nowMs;
  }

  async next(limits: ReadLimits): Promise<MirrorBatch> {
    const first = this.#held ?? (await this.#read(limits));
    this.#held = undefined;
    if (!isOnlyExpired(first)) return first;
    const told = new Told();
    for (let batch: MirrorBatch = first; isOnlyExpired(batch);) {
      told.add(batch);
      if (told.bytes >= LINK_LIMITS.expiredBytes) return told.batch();
      batch = await this.#read(limits);
      if (!isOnlyExpired(batch) && !isEmpty(batch)) this.#held = batch;
    }
    return told.batch();
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#held === undefined ? this.#inner.wait(signal) : Promise.resolve();
  }

  close(): Promise<void> {
    this.#held = undefined;
    return this.#inner.close();
  }

  async #read(limits: ReadLimits): Promise<MirrorBatch> {
    const batch = await this.#inner.next(limits);
    const nowMs = this.#nowMs?.();
    return nowMs === undefined ? batch : withoutExpired(batch, nowMs);
  }
}

interface OnlyExpired extends MirrorBatch {
  readonly expired: readonly Expired[];
}

function isOnlyExpired(batch: MirrorBatch): batch is OnlyExpired {
  return batch.records === 0 && batch.expired !== undefined && batch.sampled === undefined;
}

interface OpenExpired {
  readonly stream: StreamId;
  readonly offsets: number[];
  bytes: number;
}

/** Batches without records, as one. */
class Told {
  readonly #gaps: MirrorGap[] = [];
  readonly #expired: OpenExpired[] = [];
  readonly #resumed: Resumed[] = [];
  readonly #last = new Map<StreamId, OpenExpired>();
  bytes = 0;

  add({ gaps, expired, resumed = [], release }: OnlyExpired): void {
    this.#gaps.push(...gaps);
    this.#resumed.push(...resumed);
    for (const one of expired) this.#add(one);
    // Nobody looks at the records that were read.
    release?.();
  }

  batch(): MirrorBatch {
    const [gaps, expired, resumed] = [this.#gaps, this.#expired, this.#resumed];
    return { ...NOTHING, gaps, expired, resumed };
  }

  /** What continues another is told with it: an entry of the ledger for both. */
  #add({ stream, offsets, bytes }: Expired): void {
    this.bytes += bytes;
    const last = this.#last.get(stream);
    if (last !== undefined && (last.offsets.at(-1) ?? -1) + 1 === offsets[0]) {
      for (const offset of offsets) last.offsets.push(offset);
      last.bytes += bytes;
      return;
    }
    const next = { stream, offsets: [...offsets], bytes };
    this.#expired.push(next);
    this.#last.set(stream, next);
  }
}

function withoutExpired(batch: MirrorBatch, nowMs: number): MirrorBatch {
  const expired: Expired[] = [];
  const slices: Slice[] = [];
  let { records, bytes } = batch;
  for (const slice of batch.slices) {
    const gone = slice.records.filter((record) => (expiresAtMs(record) ?? Infinity) <= nowMs);
    if (gone.length === 0) {
      slices.push(slice);
      continue;
    }
    const offsets = gone.map(({ offset }) => offset);
    const goneBytes = gone.reduce((sum, record) => sum + recordBytes(record), 0);
    expired.push({ stream: slice.stream, offsets, bytes: goneBytes });
    slices.push(...densePartsOf(slice, new Set(offsets)));
    records -= gone.length;
    bytes -= goneBytes;
  }
  return expired.length === 0 ? batch : { ...batch, slices, records, bytes, expired };
}
