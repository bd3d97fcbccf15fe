import { expiresAtMs } from '../message-expiry.ts';
import type { Slice } from '../store/log.ts';
import type { Expired, MirrorBatch, MirrorCursor } from './mirror-cursor.ts';
import type { ReadLimits } from './range-cursor.ts';
import { densePartsOf, recordBytes } from './slices.ts';

/** Leaves out what has expired by the time that it is read (MQTT 5, section 3.3.2.3.3). */
export class ExpiringCursor implements MirrorCursor {
  readonly #inner: MirrorCursor;
  /** Wall clock in ms; undefined while it is not to be believed: then nothing expires. */
  readonly #nowMs: (() => number | undefined) | undefined;

  constructor(inner: MirrorCursor, nowMs: (() => number | undefined) | undefined) {
    this.#inner = inner;
    this.#nowMs = nowMs;
  }

  async next(limits: ReadLimits): Promise<MirrorBatch> {
    const batch = await this.#inner.next(limits);
    const nowMs = this.#nowMs?.();
    return nowMs === undefined ? batch : withoutExpired(batch, nowMs);
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#inner.wait(signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
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
