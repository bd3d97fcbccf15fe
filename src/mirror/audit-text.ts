import { LIMITS } from '../limits.ts';
import { counted } from '../words.ts';
import type { AuditGap } from './audit-gaps.ts';
import type { AuditPlace, AuditReport, DisorderSample, SourceReport } from './audit.ts';

/** The report as a person reads it: a line of verdict, a table, and the findings in full words. */
export function formatAudit(report: AuditReport): string {
  const lines = [verdict(report), ''];
  const rows = report.sources.map(row);
  if (rows.length > 0) lines.push(...table([HEAD, ...rows]), '');
  for (const source of report.sources) lines.push(...findings(source, missingWord(report)));
  for (const { topic, partition, from, to, reason } of report.unread) {
    lines.push(`${topic}/${partition}: not read from ${from} to ${to - 1}: ${reason}`);
  }
  if (report.foreign > 0) {
    const example = report.foreignSamples[0];
    const where = example === undefined ? '' : `, the first at ${place(example)}`;
    const carry = report.foreign === 1 ? 'carries' : 'carry';
    lines.push(
      `${counted(report.foreign, 'record')} ${carry} no identity (other writers'${where})`,
    );
  }
  if (report.keysUnchecked > 0) {
    lines.push(
      `${report.keysUnchecked} records have keys beyond the first ${LIMITS.auditKeys}: whether those keys kept to one partition was not checked`,
    );
  }
  while (lines.at(-1) === '') lines.pop();
  return `${lines.join('\n')}\n`;
}

const HEAD = [
  'gateway',
  'incarnation',
  'topic',
  'partition',
  'records',
  'first',
  'last',
  'missing',
  'repeats',
  'disorder',
];
const FIRST_NUMBER = 3;

function verdict(report: AuditReport): string {
  const { records, missing, repeats, disorder, unread } = report;
  const partitions = unread.length === 1 ? '1 partition' : `${unread.length} partitions`;
  const rest = unread.length === 0 ? '' : `, ${partitions} not read to the end`;
  const declared = declaredText(report);
  if (report.clean)
    return `clean: ${counted(records, 'record')}, each once and in order${reorderedText(report)}${declared}`;
  return `NOT clean: ${counted(records, 'record')}, ${missing} ${missingWord(report)}, ${repeats} repeated, ${disorder} out of order${rest}${declared}`;
}

function reorderedText({ reordered }: AuditReport): string {
  return reordered === 0
    ? ''
    : `, but for ${reordered} that their mirror sends later than newer ones`;
}

function declaredText({ declaredLost, declaredRepeats }: AuditReport): string {
  const parts = [
    ...(declaredLost === 0 ? [] : [`${declaredLost} declared lost by their gateway`]),
    ...(declaredRepeats === 0 ? [] : [`${declaredRepeats} sent again by a person’s seek`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function row(source: SourceReport): string[] {
  const { gateway, incarnation, topic, partition, records, firstOffset, lastOffset } = source;
  const { missing, repeats, disorder } = source;
  const numbers = [partition, records, firstOffset ?? '-', lastOffset ?? '-', missing, repeats];
  return [gateway, incarnation, topic, ...numbers.map(String), String(disorder)];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = HEAD.map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  return rows.map((cells) =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column < FIRST_NUMBER ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** A record that was not met may stand where it could not be read. */
function missingWord({ unread, missing }: AuditReport): string {
  return unread.length === 0 || missing === 0 ? 'missing' : 'missing or not read';
}

function findings(source: SourceReport, missing: string): string[] {
  const name = `${source.gateway}/${source.incarnation}/${source.topic}/${source.partition}`;
  const lines = source.gaps
    .slice(0, LIMITS.auditSamples)
    .map((gap) => `${name}: ${gapText(gap, source, missing)}`);
  const more = source.gaps.length - LIMITS.auditSamples;
  if (more > 0) lines.push(`${name}: and ${more}${atLimit(source)} more ranges`);
  for (const { offset, at } of source.repeatSamples) {
    lines.push(`${name}: repeat of ${offset} at ${place(at)}`);
  }
  for (const one of source.disorderSamples) lines.push(`${name}: ${disorderText(one)}`);
  return lines;
}

function atLimit(source: SourceReport): string {
  return source.gaps.length >= LIMITS.auditGapRanges ? ' or' : '';
}

function gapText(
  { from, to, declared }: AuditGap,
  { expected }: SourceReport,
  missing: string,
): string {
  const range = to - from === 1 ? `${from}` : `${from} to ${to - 1}`;
  if (declared !== undefined) return `${range} declared lost: ${declared}`;
  const isOld = to <= (expected?.from ?? 0);
  return `${missing} ${range}${isOld ? " (before the start of the gateway's log)" : ''}`;
}

function disorderText(one: DisorderSample): string {
  if (one.kind === 'order') return `${one.offset} came after ${one.after} at ${place(one.at)}`;
  const [first, second] = one.partitions;
  return `the key of ${one.offset} is in partitions ${first} and ${second} of ${one.at.topic} (${place(one.at)})`;
}

function place({ topic, partition, offset }: AuditPlace): string {
  return `${topic}/${partition}@${offset}`;
}
