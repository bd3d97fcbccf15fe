import type { GapReason, MirrorStatus } from '../mirror/status.ts';
import { isoTime } from '../time.ts';

const WHY: Readonly<Record<GapReason, string>> = {
  retention: 'removed by retention, or for space, before their turn came',
  corruption: 'the log could not read them',
  skipped: 'a person had them skipped',
  sampled: 'left out beside a sample that was sent, and is not known any more',
  'far-behind': 'the far side went back to before them, and the log no longer holds them',
};

/** Both inclusive. */
export function rangeText(first: number, last: number): string {
  return first === last ? `${first}` : `${first} to ${last}`;
}

/** What did not get to the far side, and why; a line each, the latest last. */
export function lossLines({ gaps, rejections }: MirrorStatus): string[] {
  const missing = gaps.map(
    ({ topic, partition, fromOffset, toOffset, reason, atMs }) =>
      `${toOffset - fromOffset} missing: ${topic}/${partition}, ${rangeText(fromOffset, toOffset - 1)}, ` +
      `${isoTime(atMs)}: ${WHY[reason]}`,
  );
  const rejected = rejections.map(
    ({ records, topic, partition, offset, atMs, reason }) =>
      `${records} rejected: the last is ${topic}/${partition}, ${offset}, ${isoTime(atMs)}: ${reason}`,
  );
  return [...missing, ...rejected];
}
