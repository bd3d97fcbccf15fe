import type { GapReason, MirrorStatus } from '../mirror/status.ts';
import { isoTime } from '../time.ts';

const WHY: Readonly<Record<GapReason, string>> = {
  retention: 'dropped by retention before their turn came',
  corruption: 'the log could not read them',
  'far-behind': 'the far side went back to before them, and the log no longer holds them',
};

/** What did not get to the far side, and why; a line each, the latest last. */
export function lossLines({ gaps, rejections }: MirrorStatus): string[] {
  const missing = gaps.map(
    ({ topic, partition, fromOffset, toOffset, reason, atMs }) =>
      `${toOffset - fromOffset} missing: ${topic}/${partition}, ${fromOffset} to ${toOffset - 1}, ` +
      `${isoTime(atMs)}: ${WHY[reason]}`,
  );
  const rejected = rejections.map(
    ({ records, topic, partition, offset, atMs, reason }) =>
      `${records} rejected: the last is ${topic}/${partition}, ${offset}, ${isoTime(atMs)}: ${reason}`,
  );
  return [...missing, ...rejected];
}
