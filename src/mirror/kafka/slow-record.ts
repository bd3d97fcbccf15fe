import { GatelogError } from '../../errors.ts';
import { formatDuration, formatSize } from '../../units.ts';
import type { LargePatience } from '../large-patience.ts';
import type { Cargo } from './encode.ts';
import { LateAnswer } from './trouble.ts';

/**
 * What to make of an error of Produce: where one record alone was not answered in time, the next
 * session gives it longer, and what is said names it. Any other error is left as it is.
 */
export function slowRecord(
  error: unknown,
  cargo: readonly Cargo[],
  patience: LargePatience,
): unknown {
  const [only] = cargo;
  if (!(error instanceof LateAnswer) || only === undefined || !isAlone(cargo)) return error;
  const { first, batch } = only;
  const waitedMs = patience.ms;
  const nextMs = patience.late(batch.bytes.length);
  if (nextMs === undefined) return error;
  const { topic, partition } = first.way;
  const record = `record ${first.offset} of ${topic}/${partition} (${formatSize(batch.bytes.length)} on the wire)`;
  const what =
    nextMs > waitedMs
      ? `it is given ${formatDuration(nextMs)} next`
      : `that is as long as it may take: a link that fast, a longer transactionTimeout where one is set, or 'gatelog mirror skip' gets the mirror past it`;
  return new GatelogError(
    error.code,
    `${error.message}; ${record} did not get through in ${formatDuration(waitedMs)}, ${what}`,
    { cause: error },
  );
}

/** One record can not be sent in smaller parts. */
export function isAlone(cargo: readonly Cargo[]): boolean {
  return cargo.length === 1 && cargo[0]?.batch.records === 1;
}
