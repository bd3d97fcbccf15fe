import type { PartitionStatus } from '../mirror/status.ts';
import { count } from './format.ts';

/** Where a mirror may be moved to. An offset means something else in each partition. */
export function placesText(partitions: readonly Pick<PartitionStatus, 'endOffset'>[]): string {
  const [only] = partitions;
  const isOne = only !== undefined && partitions.length === 1;
  const offset = isOne ? `an offset (the end is ${count(only.endOffset)})` : undefined;
  const time = 'a time such as 2026-11-22T08:00:00Z';
  return `To: ${['beginning', 'end', ...(offset === undefined ? [] : [offset])].join(', ')}, or ${time}`;
}
