import type { AgentStatus } from '../admin/status.ts';
import { counted } from '../words.ts';
import { type CliContext, paint } from './context.ts';
import type { ViewSize } from './screen.ts';
import { type Field, statusParts } from './status.ts';

/** What `gatelog status --watch` saw last. */
export interface Sighting {
  readonly status: AgentStatus;
  /** What it saw before that; undefined: nothing. */
  readonly before: AgentStatus | undefined;
  /** When, on the wall clock. */
  readonly at: number;
  /** Why it is not what holds now; undefined: it is. */
  readonly trouble: string | undefined;
}

/**
 * One screen: at most `rows` lines, none wider than `columns`. Mirrors stand before topics, of which there may be
 * many: what has no room is counted in the last line.
 */
export function watchLines(
  context: CliContext,
  title: string,
  { status, before, trouble }: Sighting,
  { columns, rows }: ViewSize,
): string[] {
  const { head, topics, mirrors } = statusParts(context, status, [rates(before, status)]);
  const parts = [head, mirrors, topics].filter((part) => part.length > 0);
  const lines = [
    title,
    ...(trouble === undefined ? [] : [paint(context, 'red', trouble)]),
    ...parts.flatMap((part) => ['', ...part]),
  ];
  const shown = lines.map((line) => clipStyled(line, columns));
  if (shown.length <= rows) return shown;
  const left = shown.length - Math.max(0, rows - 1);
  const last = `… ${counted(left, 'more line')}: a larger window shows them`;
  return [...shown.slice(0, Math.max(0, rows - 1)), clipStyled(last, columns)].slice(0, rows);
}

/** Between two looks, by the agent's own clock. */
function rates(before: AgentStatus | undefined, now: AgentStatus): Field {
  const ms = before?.startedAt === now.startedAt ? now.uptimeMs - before.uptimeMs : 0;
  if (before === undefined || ms <= 0) return ['rates', '…'];
  const perSecond = (from: number | undefined, to: number | undefined): string =>
    ((Math.max(0, (to ?? 0) - (from ?? to ?? 0)) * 1000) / ms).toFixed(1);
  const sent = now.mirrors.map(({ name, recordsSent }) => {
    const earlier = before.mirrors.find((mirror) => mirror.name === name);
    return `${perSecond(earlier?.recordsSent, recordsSent)} sent by ${name}`;
  });
  const received = perSecond(before.ingest?.received, now.ingest?.received);
  const stored = perSecond(before.store?.recordsAppended, now.store?.recordsAppended);
  const text = [`${received} messages/s in`, `records/s: ${stored} stored`, ...sent].join(', ');
  return ['rates', text];
}

// oxlint-disable-next-line no-control-regex -- styles begin with a control character
const PIECE = /\u001b\[[\d;]*m|./gsu;

/** One line of at most `width` columns out of a text that may be styled; a style that is cut through ends. */
export function clipStyled(text: string, width: number): string {
  const pieces = Array.from(text.replaceAll(/\s/gu, ' ').matchAll(PIECE), ([piece]) => piece);
  const isStyle = (piece: string): boolean => piece.length > 1 && piece.startsWith('\u001b');
  const columns = pieces.filter((piece) => !isStyle(piece)).length;
  if (columns <= width) return pieces.join('');
  if (width <= 0) return '';
  let clipped = '';
  let room = width - 1;
  for (const piece of pieces) {
    if (!isStyle(piece) && room-- === 0) break;
    clipped += piece;
  }
  return `${clipped}…${pieces.some(isStyle) ? '\u001b[0m' : ''}`;
}
