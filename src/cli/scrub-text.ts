import type { ScrubStatus } from '../store/log.ts';
import { isoTime } from '../time.ts';
import { formatSize } from '../units.ts';
import { counted } from '../words.ts';

/** One line on the check of what is stored. */
export function scrubText(status: ScrubStatus): string {
  const { state, lastFinishedMs, bytesChecked, findings } = status;
  const places = findings === 0 ? 'no damage found' : `${counted(findings, 'damaged place')} found`;
  if (state === 'running') {
    return `running, ${formatSize(bytesChecked)} read since start, ${places}`;
  }
  const off = state === 'off' ? 'off (store.scrub.schedule); ' : '';
  if (lastFinishedMs === undefined) return `${off}the whole log was never checked yet`;
  return `${off}last finished ${isoTime(lastFinishedMs)}, ${places}`;
}
