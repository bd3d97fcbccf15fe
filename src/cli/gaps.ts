import { ControlClient } from '../admin/control-client.ts';
import { GatelogError } from '../errors.ts';
import { LOSS_REASONS, type GapJson } from '../loss.ts';
import { parseIsoTime } from '../time.ts';
import { formatSize } from '../units.ts';
import { suggestion } from '../words.ts';
import { paint, printLine, type CliContext, type PlaceOptions } from './context.ts';
import { withAgentOrFolder } from './folder.ts';
import { gathered, ledgerOf } from './ledger.ts';
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
  const gaps = await withAgentOrFolder(
    context,
    folder,
    () => gathered(new ControlClient(folder).gaps(), isWanted),
    (store) => gathered(ledgerOf(store), isWanted),
  );
  gaps.sort((one, other) => (one.from < other.from ? -1 : 1));
  if (options.json) for (const gap of gaps) printLine(context, JSON.stringify(gap));
  else for (const line of gapLines(context, gaps)) printLine(context, line);
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

function gapLines(context: CliContext, gaps: readonly GapJson[]): string[] {
  if (gaps.length === 0) return ['nothing was lost'];
  const rows = gaps.map((gap) => [
    gap.from.slice(0, SECONDS),
    gap.to.slice(0, SECONDS),
    gap.partition === null ? gap.topic : `${gap.topic}/${gap.partition}`,
    offsetsOf(gap),
    String(gap.records),
    gap.bytes === null ? '?' : formatSize(gap.bytes),
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
  return [paint(context, 'bold', head), ...lines, '', ...sums(gaps)];
}

/** Of an ISO time, down to the second. */
const SECONDS = 19;

function offsetsOf({ firstOffset, lastOffset, records }: GapJson): string {
  if (firstOffset === null || lastOffset === null) return '-';
  const range = firstOffset === lastOffset ? `${firstOffset}` : `${firstOffset} to ${lastOffset}`;
  return records === lastOffset - firstOffset + 1 ? range : `within ${range}`;
}

function sums(gaps: readonly GapJson[]): string[] {
  const byReason = Map.groupBy(gaps, ({ reason }) => reason);
  return [...byReason].map(([reason, some]) => {
    const records = some.reduce((sum, gap) => sum + gap.records, 0);
    return `${reason}: ${records} records in ${some.length} ${some.length === 1 ? 'entry' : 'entries'}`;
  });
}
