import { LIMITS } from '../limits.ts';
import { isoTime } from '../time.ts';
import { formatSize } from '../units.ts';
import type { DoctorFacts } from './doctor-facts.ts';
import { totalsText } from './ledger.ts';

/** One part of the report. Pure: it judges facts and reads nothing. */
export interface Section {
  readonly title: string;
  readonly lines: readonly string[];
  /** What a person should look at; any of them makes the exit code 1. */
  readonly findings: readonly string[];
}

export type Examine = (facts: DoctorFacts) => Section;

/** In the order of the report. */
export const SECTIONS: readonly Examine[] = [
  agent,
  identity,
  log,
  quarantine,
  losses,
  starts,
  disk,
];

function agent({ agent: status }: DoctorFacts): Section {
  if (status === undefined) return { title: 'agent', lines: ['not running'], findings: [] };
  const findings = status.degraded === null ? [] : [`it serves without a log: ${status.degraded}`];
  const lines = [`running, process ${status.pid}, since ${status.startedAt}`];
  return { title: 'agent', lines, findings };
}

function identity({ agent: status, state }: DoctorFacts): Section {
  const title = 'identity';
  if (status !== undefined) {
    return {
      title,
      lines: [`gateway ${status.gateway}, incarnation ${status.incarnation}`],
      findings: [],
    };
  }
  const findings = state?.trouble === undefined ? [] : [`the state database: ${state.trouble}`];
  const found = state?.identity;
  if (found === undefined) return { title, lines: ['unknown'], findings };
  const { gateway = 'unknown', incarnation, formatVersion, createdMs } = found;
  const text = `gateway ${gateway}, incarnation ${incarnation}, format ${formatVersion}`;
  return { title, lines: [`${text}, made ${isoTime(createdMs)}`], findings };
}

function log({ look, state, agent: status }: DoctorFacts): Section {
  const { segments, strange } = look;
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const count = `${segments.length} ${segments.length === 1 ? 'segment' : 'segments'}`;
  const closed =
    status !== undefined || state === undefined
      ? []
      : [
          state.cleanlyClosed
            ? 'closed cleanly'
            : 'not closed cleanly: the next start looks closer',
        ];
  const missing = state?.missing ?? [];
  return {
    title: 'log',
    lines: [`${count}, ${formatSize(bytes)}; state ${formatSize(look.stateBytes)}`, ...closed],
    findings: [
      ...missing.map((first) => `the segment that begins with commit ${first} is missing`),
      ...strange.map((name) => `${name} is not of gatelog's making`),
    ],
  };
}

function quarantine({ look }: DoctorFacts): Section {
  const lines = look.aside.map(({ name, when, why, bytes, held }) => {
    const ranges = (held ?? []).map(
      ({ topic, partition, fromOffset, toOffset }) =>
        `${topic}/${partition} ${fromOffset} to ${toOffset - 1}`,
    );
    const offsets = ranges.length === 0 ? '' : `; it held ${ranges.join(', ')}`;
    return `${name}, ${formatSize(bytes)}, ${when ?? 'time unknown'}: ${why}${offsets}`;
  });
  const count = look.aside.length;
  return {
    title: 'quarantine',
    lines: count === 0 ? ['empty'] : lines,
    findings:
      count === 0
        ? []
        : [`${count} set aside in quarantine/: look at it, save what is worth it, and remove it`],
  };
}

function losses({ losses: totals, corruption }: DoctorFacts): Section {
  const text = totals === undefined ? 'unknown' : (totalsText(totals) ?? 'nothing was lost');
  const records = corruption.reduce((sum, entry) => sum + entry.records, 0);
  return {
    title: 'losses',
    lines: [text, ...corruption.map(({ detail, from }) => `${from}: ${detail}`)],
    findings:
      corruption.length === 0
        ? []
        : [
            `the disk lost ${records} records or offsets: gatelog gaps --reason corruption lists them`,
          ],
  };
}

/** A mark may be a kill's; several in a row may be LevelDB's. Beside an agent they mean nothing. */
function starts({ look, agent: status }: DoctorFacts): Section {
  const several = Object.entries(look.deaths).filter(([, count]) => count > 1);
  const isQuiet = status !== undefined || several.length === 0;
  return {
    title: 'starts',
    lines: [isQuiet ? 'nothing ended a process' : 'several processes in a row ended early'],
    findings: isQuiet
      ? []
      : several.map(([name, count]) => `${count} processes in a row ended while ${name} was open`),
  };
}

function disk({ look }: DoctorFacts): Section {
  const { freeBytes, totalBytes } = look.disk;
  const reserve = Math.min(LIMITS.diskReserveBytes, totalBytes * LIMITS.diskReserveShare);
  const lines = [`${formatSize(freeBytes)} free of ${formatSize(totalBytes)}`];
  const findings = freeBytes < reserve ? [`less than ${formatSize(reserve)} is free`] : [];
  return { title: 'disk', lines, findings };
}
