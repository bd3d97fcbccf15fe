import { formatAudit } from '../../mirror/audit-text.ts';
import type { AuditReport } from '../../mirror/audit.ts';
import { count, plural, type Paint } from './text.ts';

export interface DevicesReport {
  readonly sensors: number;
  /** Readings whose PUBACK came. */
  readonly acknowledged: number;
  /** Readings still with their sensors. */
  readonly unacknowledged: number;
  /** Acknowledged and not in the edge log: the one thing that must never be. */
  readonly missing: number;
  readonly missingSamples: readonly string[];
  /** Too old for the edge log, which keeps a day; nobody can check them any more. */
  readonly expired: number;
}

export interface EdgeReport {
  /** Readable records in the folder, over all runs. */
  readonly records: number;
  readonly runRecords: number;
  /** Repeats of a reading: the device's own, after it lost a connection before the PUBACK. */
  readonly sentAgain: number;
  readonly disorder: number;
  readonly unreadable: number;
}

export interface CentreReport {
  readonly name: string;
  readonly audit: AuditReport;
  /** Records whose key or value differ from the edge's; undefined where it was not compared. */
  readonly altered: number | undefined;
  /** In the edge log and not sent yet; the next run goes on with them. */
  readonly waiting: number;
  /** Why it could not be read to its end; then nothing is known about what arrived. */
  readonly unread: string | undefined;
}

export interface DemoReport {
  readonly devices: DevicesReport;
  readonly edge: EdgeReport;
  readonly centre: CentreReport;
}

/**
 * - `clean`: every acknowledged reading is at the centre exactly once, in order.
 * - `waiting`: nothing is wrong, and not everything has been sent (the link was cut).
 * - `unread`: the sensors and the edge log are in order, and the centre could not be asked.
 * - `broken`: the promise does not hold.
 */
export type Verdict = 'clean' | 'waiting' | 'unread' | 'broken';

export function verdictOf({ devices, edge, centre }: DemoReport): Verdict {
  const { audit, altered = 0, waiting, unread } = centre;
  if (devices.missing + edge.disorder + edge.unreadable > 0) return 'broken';
  if (unread !== undefined) return 'unread';
  if (altered > 0 || !audit.clean) return 'broken';
  return waiting > 0 ? 'waiting' : 'clean';
}

/** The report as a person reads it. */
export function reportLines(report: DemoReport, paint: Paint): string[] {
  const { devices, edge, centre } = report;
  const { audit } = centre;
  const rows: [string, string][] = [
    ['sensors', `${plural(devices.acknowledged, 'reading')} acknowledged by the edge agent`],
    ['', `${count(devices.unacknowledged)} not acknowledged, still with their sensors`],
    ['edge log', `${plural(edge.runRecords, 'record')} of this run, on disk before each PUBACK`],
    [
      '',
      `${count(devices.missing)} acknowledged readings missing, ${count(edge.disorder)} out of order`,
    ],
    ['', `${count(edge.sentAgain)} twice, sent again by sensors that had lost their connection`],
    ['', `${plural(edge.records, 'record')} in the folder, of all runs`],
    ...centreRows(centre),
  ];
  if (edge.unreadable > 0)
    rows.push(['', `${plural(edge.unreadable, 'record')} unreadable at the edge`]);
  if (centre.waiting > 0) rows.push(['', `${plural(centre.waiting, 'record')} wait at the edge`]);
  if (devices.expired > 0) {
    rows.push([
      '',
      `${plural(devices.expired, 'reading')} of this run expired at the edge, unchecked`,
    ]);
  }
  const samples = devices.missingSamples.map((sample): [string, string] => ['', `lost: ${sample}`]);
  return [
    paint('bold', 'Verify report'),
    '',
    ...[...rows, ...samples].map(([name, text]) => `  ${paint('bold', name.padEnd(10))}${text}`),
    '',
    ...(audit.clean
      ? []
      : formatAudit(audit)
          .split('\n')
          .map((line) => `  ${line}`)),
    verdictLine(report, paint),
  ];
}

function centreRows({ name, audit, altered, unread }: CentreReport): [string, string][] {
  if (unread !== undefined) return [[name, `could not be read: ${unread}`]];
  const faults =
    `${count(audit.missing)} missing, ${count(audit.repeats)} repeated, ` +
    `${count(audit.disorder)} out of order`;
  return [
    [name, `${plural(audit.records, 'record')} arrived from this folder`],
    ['', altered === undefined ? faults : `${faults}, ${count(altered)} altered`],
  ];
}

function verdictLine(report: DemoReport, paint: Paint): string {
  const { centre } = report;
  switch (verdictOf(report)) {
    case 'clean':
      return paint(
        'green',
        `  clean: every acknowledged reading is in ${centreName(centre)} exactly once, in order`,
      );
    case 'waiting':
      return paint(
        'yellow',
        `  not complete: nothing is lost; left for the next run: ${plural(centre.waiting, 'record')}`,
      );
    case 'unread':
      return paint(
        'yellow',
        `  not complete: the edge lost nothing, but ${centreName(centre)} could not be asked`,
      );
    case 'broken':
      return paint('red', '  NOT CLEAN: the figures above say what is wrong');
  }
}

function centreName(centre: CentreReport): string {
  return centre.name === 'central' ? 'the central log' : centre.name;
}
