import type { LogRecord } from '../record.ts';
import type { Slice } from '../store/log.ts';

/** A slice without some of its records, as slices that are dense. */
export function* densePartsOf(
  { stream, records }: Slice,
  gone: ReadonlySet<number>,
): Generator<Slice> {
  let part: LogRecord[] = [];
  for (const record of records) {
    if (!gone.has(record.offset)) {
      part.push(record);
      continue;
    }
    if (part.length > 0) yield { stream, records: part };
    part = [];
  }
  if (part.length > 0) yield { stream, records: part };
}

/** Of key, value and headers. */
export function recordBytes({ key, value, headers }: LogRecord): number {
  return (key?.length ?? 0) + (value?.length ?? 0) + headers.length;
}
