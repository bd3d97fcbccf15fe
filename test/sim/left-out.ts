import { assert } from '../../src/assert.ts';
import type { OffsetRange } from '../../src/range-set.ts';
import type { LogRecord } from '../../src/record.ts';
import type { LossLedger } from '../../src/store/log.ts';

/** So many records of a range stand beside a sample, and never arrive. */
export interface LeftOut extends OffsetRange {
  readonly topic: string;
  readonly partition: number;
  readonly records: number;
}

export async function leftOutOf(ledger: LossLedger): Promise<LeftOut[]> {
  const found: LeftOut[] = [];
  for await (const { reason, topic, partition, records, ...range } of ledger.entries()) {
    if (reason !== 'sampled') continue;
    const { fromOffset: from, toOffset: to } = range;
    assert(partition !== undefined && from !== undefined && to !== undefined, 'it has offsets');
    found.push({ topic, partition, from, to, records });
  }
  return found;
}

export function isLeftOut(
  leftOut: readonly LeftOut[],
  topic: string,
  partition: number,
  { offset }: LogRecord,
): boolean {
  return leftOut.some(
    (loss) =>
      loss.topic === topic &&
      loss.partition === partition &&
      loss.from <= offset &&
      offset < loss.to,
  );
}
