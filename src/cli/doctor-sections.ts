import { LIMITS } from '../limits.ts';
import type { GapJson } from '../loss.ts';
import type { DamagedBooks } from '../store/look.ts';
import { isoTime } from '../time.ts';
import { formatSize } from '../units.ts';
import { counted } from '../words.ts';
import { accessTroubles } from './access-lines.ts';
import type { DoctorFacts } from './doctor-facts.ts';
import { corruptionOf, totalsText } from './ledger.ts';
import { scrubText } from './scrub-text.ts';
import { wearLines } from './wear-lines.ts';

/** One part of the report. Pure: it judges facts and reads nothing. */
export interface Section {
  readonly title: string;
  readonly lines: readonly string[];
  /** What a person should look at; any of them makes the exit code 1. */
  readonly findings: readonly string[];
  /** What could be better, and harms nothing now. */
  readonly advice?: readonly string[] | undefined;
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
  clock,
  mirrors,
  disk,
  wear,
];

function agent({ agent: status }: DoctorFacts): Section {
  if (status === undefined) return { title: 'agent', lines: ['not running'], findings: [] };
  const trouble = status.store?.trouble ?? null;
  const findings = [
    ...(status.degraded === null ? [] : [`it serves without a log: ${status.degraded}`]),
    ...(trouble === null ? [] : [`nothing is acknowledged: ${trouble}`]),
    ...accessTroubles(status).map(({ name, text }) => `${name}: ${text}`),
  ];
  const lines = [`running, process ${status.pid}, since ${status.startedAt}`];
  return { title: 'agent', lines, findings };
}

function identity({ agent: status, state }: DoctorFacts): Section {
  const title = 'identity';
  if (status !== undefined && status.store !== null) {
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
  const count = counted(segments.length, 'segment');
  const closed =
    (status !== undefined && status.store !== null) || state === undefined
      ? []
      : [
          state.cleanlyClosed
            ? 'closed cleanly'
            : 'not closed cleanly: the next start looks closer',
          LOOKED_AT,
        ];
  const checked = status?.store?.scrub;
  const missing = state?.missing ?? [];
  const damaged = state?.damaged ?? [];
  return {
    title: 'log',
    lines: [
      `${count}, ${formatSize(bytes)}; state ${formatSize(look.stateBytes)}`,
      ...(checked === undefined ? closed : [`the check of its records: ${scrubText(checked)}`]),
    ],
    findings: [
      ...missing.map((first) => `the segment that begins with commit ${first} is missing`),
      ...damaged.map(damageText),
      ...strange.map((name) => `${name} is not of gatelog's making`),
    ],
  };
}

const LOOKED_AT =
  "looked at: which files there are, their sizes and indexes; records themselves are read by the agent's check";

function damageText({ what, troubles }: DamagedBooks): string {
  const name =
    what === 'state' ? 'the state database' : `the segment that begins with commit ${what}`;
  const shown = troubles.slice(0, TROUBLES).join(', ');
  const more = troubles.length > TROUBLES ? `, and ${troubles.length - TROUBLES} more` : '';
  return `${name} is damaged: ${shown}${more}; the next start repairs what it can, and says what is lost`;
}

/** Of one database, said in a line. */
const TROUBLES = 3;

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
  const title = 'quarantine';
  return {
    title,
    lines: count === 0 ? [look.strange.includes(title) ? 'unknown' : 'empty'] : lines,
    findings:
      count === 0
        ? []
        : [`${count} set aside in quarantine/: look at it, save what is worth it, and remove it`],
  };
}

function losses(facts: DoctorFacts): Section {
  const { losses: totals, corruption, state, agent: status } = facts;
  const known = totals === undefined ? undefined : totalsText(totals);
  const isWhole = totals !== undefined && !isStateDamaged(state);
  const none = corruption.length === 0 ? 'nothing was lost' : 'no record is known to be lost';
  const unchecked =
    corruption.length > 0 && status?.store?.scrub.state === 'running'
      ? '; the check of the log is under way'
      : '';
  const text = isWhole ? (known ?? none) : known === undefined ? 'unknown' : `${known}, or more`;
  return {
    title: 'losses',
    lines: [`${text}${unchecked}`, ...corruption.map(({ detail, from }) => `${from}: ${detail}`)],
    findings:
      corruption.length === 0
        ? []
        : [`${lostText(corruption)}: gatelog gaps --reason corruption lists it`],
  };
}

function lostText(corruption: readonly GapJson[]): string {
  const { records, atMost } = corruptionOf(corruption);
  const parts = [
    ...(records === 0 ? [] : [`the disk lost ${counted(records, 'record')}`]),
    ...(atMost === 0 ? [] : [`its end was lost, and up to ${counted(atMost, 'record')} with it`]),
  ];
  return parts.length === 0 ? 'something was damaged' : parts.join('; ');
}

/** The loss ledger stands in it. */
function isStateDamaged(state: DoctorFacts['state']): boolean {
  if (state === undefined) return false;
  return state.trouble !== undefined || state.damaged.some(({ what }) => what === 'state');
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

function clock({ agent: status }: DoctorFacts): Section {
  const title = 'clock';
  const known = status?.clock ?? null;
  // What the machine says of it stands in a section of its own.
  if (known === null) return { title, lines: [], findings: [] };
  const { state, why, source, time } = known;
  const by = source === null ? '' : `, by ${source}`;
  return {
    title,
    lines: [`${state}${by}; it is ${time}`],
    findings:
      state === 'suspect'
        ? [
            `the clock is not believed: ${why ?? 'nobody confirmed it'}; see to network time (timedatectl, chronyc tracking), or set it`,
          ]
        : [],
  };
}

/** Of the agent that runs: what only a person can mend. */
function mirrors({ agent: status }: DoctorFacts): Section {
  const title = 'mirrors';
  if (status === undefined) return { title, lines: [], findings: [] };
  const all = status.mirrors;
  return {
    title,
    lines: all.length === 0 ? ['none'] : all.map(({ name, state }) => `${name}: ${state}`),
    findings: all
      .filter(({ state }) => state === 'halted' || state === 'refused')
      .map(
        ({ name, state, reason }) =>
          `${name} is ${state}: ${reason ?? 'gatelog mirror status says why'}`,
      ),
  };
}

function disk({ look }: DoctorFacts): Section {
  const { freeBytes, totalBytes } = look.disk;
  const reserve = Math.min(LIMITS.diskReserveBytes, totalBytes * LIMITS.diskReserveShare);
  const lines = [`${formatSize(freeBytes)} free of ${formatSize(totalBytes)}`];
  const findings = freeBytes < reserve ? [`less than ${formatSize(reserve)} is free`] : [];
  return { title: 'disk', lines, findings };
}

/** Measured by the agent while it runs. */
function wear({ agent: status }: DoctorFacts): Section {
  const lines =
    status === undefined || status.wear === null
      ? ['measured while the agent runs with its log']
      : wearLines(status.wear);
  return { title: 'wear', lines, findings: [] };
}
