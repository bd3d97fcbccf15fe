import { ControlClient } from '../admin/control-client.ts';
import { GatelogError } from '../errors.ts';
import { LOSS_REASONS, type GapJson } from '../loss.ts';
import { parseIsoTime } from '../time.ts';
import { formatSize } from '../units.ts';
import { counted, suggestion } from '../words.ts';
import { paint, printError, printLine, type CliContext, type PlaceOptions } from './context.ts';
import { withAgentOrFolder } from './folder.ts';
import { corruptionOf, gathered, isAtMost, ledgerOf } from './ledger.ts';
import { rangeText } from './losses.ts';
import { dataFolderOf } from './place.ts';
import { formatTable } from './table.ts';

export interface GapsOptions extends PlaceOptions {
  readonly topic?: string | undefined;
  readonly mirror?: string | undefined;
  readonly reason?: string | undefined;
  readonly since?: string | undefined;
  readonly json: boolean;
}

/** `gatelog gaps`: the loss ledger, of a running agent or a stopped folder. */
export async function listGaps(context: CliContext, options: GapsOptions): Promise<void> {
  const isWanted = filterOf(options);
  const folder = dataFolderOf(context, options);
  let damage: string | undefined;
  const gaps = await withAgentOrFolder(
    context,
    folder,
    () => gathered(new ControlClient(folder).gaps(), isWanted),
    (store) => {
      damage = store.stateDamage;
      return gathered(ledgerOf(store), isWanted);
    },
  );
  gaps.sort((one, other) => (one.from < other.from ? -1 : 1));
  if (damage !== undefined) sayUnknown(context, damage);
  if (options.json) for (const gap of gaps) printLine(context, JSON.stringify(gap));
  else for (const line of gapLines(context, gaps, damage)) printLine(context, line);
}

const UNKNOWN = 1;

function sayUnknown(context: CliContext, damage: string): void {
  printError(
    context,
    `what was lost is not known in full, as the loss ledger stands in the state database ` +
      `(${damage}): listed is what is left of it, or else what stands in the topic _gaps`,
  );
  context.exitCode = UNKNOWN;
}

/** Throws USAGE. */
function filterOf({ topic, mirror, reason, since }: GapsOptions): (gap: GapJson) => boolean {
  const sinceMs = since === undefined ? undefined : parseIsoTime(since);
  if (since !== undefined && sinceMs === undefined) {
    throw new GatelogError('USAGE', `--since: expected a time (ISO 8601), found "${since}"`);
  }
  if (reason !== undefined && !LOSS_REASONS.some((known) => known === reason)) {
    const list = LOSS_REASONS.join(', ');
    const message = `--reason: expected one of ${list}, found "${reason}"${suggestion(reason, LOSS_REASONS)}`;
    throw new GatelogError('USAGE', message);
  }
  return (gap) =>
    (topic === undefined || gap.topic === topic) &&
    (mirror === undefined || gap.mirror === null || gap.mirror === mirror) &&
    (reason === undefined || gap.reason === reason) &&
    (sinceMs === undefined || (parseIsoTime(gap.to) ?? 0) >= sinceMs);
}

function gapLines(
  context: CliContext,
  gaps: readonly GapJson[],
  damage: string | undefined,
): string[] {
  if (gaps.length === 0) return [damage === undefined ? 'nothing was lost' : 'unknown'];
  const rows = gaps.map((gap) => [
    gap.from.slice(0, SECONDS),
    gap.to.slice(0, SECONDS),
    gap.partition === null ? gap.topic : `${gap.topic}/${gap.partition}`,
    offsetsOf(gap),
    isAtMost(gap) ? `≤ ${gap.records}` : String(gap.records),
    gap.bytes === null ? '-' : formatSize(gap.bytes),
    gap.mirror ?? 'all',
    `${gap.reason}: ${gap.detail}`,
  ]);
  const [head = '', ...lines] = formatTable(
    [
      { title: 'FROM (UTC)' },
      { title: 'TO (UTC)' },
      { title: 'TOPIC' },
      { title: 'OFFSETS' },
      { title: 'RECORDS', right: true },
      { title: 'SIZE', right: true },
      { title: 'FOR' },
      { title: 'REASON' },
    ],
    rows,
  );
  return [paint(context, 'bold', head), ...lines, '', ...sums(gaps), ...footOf(gaps)];
}

/** What the figures are worth. */
function footOf(gaps: readonly GapJson[]): string[] {
  const lost = gaps.filter(({ reason }) => reason === 'corruption');
  return [
    ...(lost.some(({ bytes }) => bytes !== null)
      ? ['SIZE of what the disk lost: by the average of the records around it']
      : []),
    ...(gaps.some(({ bytes, records }) => bytes === null && records > 0)
      ? ['SIZE -: not known']
      : []),
    ...(lost.some(isAtMost)
      ? [
          'RECORDS ≤: the disk lost the end of the log; so many offsets are left out, and may have held nothing',
        ]
      : []),
  ];
}

/** Of an ISO time, down to the second. */
const SECONDS = 19;

function offsetsOf({ firstOffset, lastOffset, records }: GapJson): string {
  if (firstOffset === null || lastOffset === null) return '-';
  const range = rangeText(firstOffset, lastOffset);
  return records === lastOffset - firstOffset + 1 ? range : `within ${range}`;
}

function sums(gaps: readonly GapJson[]): string[] {
  const byReason = Map.groupBy(gaps, ({ reason }) => reason);
  return [...byReason].map(([reason, some]) => {
    const { records, atMost } = corruptionOf(some);
    const what = [
      ...(records > 0 || atMost === 0
        ? [records === 0 ? 'no record that is known of' : counted(records, 'record')]
        : []),
      ...(atMost > 0 ? [`at most ${counted(atMost, 'record')} of an end that was lost`] : []),
    ];
    return `${reason}: ${what.join(', ')} in ${counted(some.length, 'entry', 'entries')}`;
  });
}
