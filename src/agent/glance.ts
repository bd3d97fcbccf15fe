import { SERVICE_LIMITS } from '../service-limits.ts';
import { formatDuration } from '../units.ts';
import { counted } from '../words.ts';

export interface GlancedMirror {
  readonly name: string;
  readonly state: string;
  readonly lagRecords: number;
  readonly lagMs: number | undefined;
  readonly reason: string | undefined;
}

/** What one line tells of an agent; nothing is read from the disk for it. */
export interface Glance {
  /** Why it serves without a log; null: it has one. */
  readonly degraded: string | null;
  /** Why its log can't be written at present; null: it can. */
  readonly trouble: string | null;
  readonly connections: number;
  readonly mirrors: readonly GlancedMirror[];
  /** Options that changed in the configuration and count from the next start on. */
  readonly needsRestart: readonly string[];
}

/** The line of `systemctl status`. */
export function glanceLine({
  degraded,
  trouble,
  connections,
  mirrors,
  needsRestart,
}: Glance): string {
  const parts = [
    ...(degraded === null ? [] : [`serving without a log: ${degraded}`]),
    ...(trouble === null ? [] : [`nothing is acknowledged: ${trouble}`]),
    counted(connections, 'connection'),
    ...mirrors.map((mirror) => mirrorText(mirror)),
    ...(needsRestart.length === 0 ? [] : [`needs a restart for ${needsRestart.join(', ')}`]),
  ];
  // A line break would begin another assignment.
  const line = parts.join('; ').replaceAll(/\p{Cc}+/gu, ' ');
  const { statusChars } = SERVICE_LIMITS;
  return line.length <= statusChars ? line : `${line.slice(0, statusChars - 1)}…`;
}

function mirrorText({ name, state, lagRecords, lagMs, reason }: GlancedMirror): string {
  const age = lagMs === undefined || lagMs === 0 ? '' : ` (${formatDuration(lagMs)})`;
  const lag = lagRecords === 0 ? 'no lag' : `${counted(lagRecords, 'record')} behind${age}`;
  return `${name} ${state}, ${lag}${reason === undefined ? '' : `: ${reason}`}`;
}
