import { ControlClient } from '../admin/control-client.ts';
import type { AgentStatus } from '../admin/status.ts';
import type { ClockStatus } from '../clock-trust.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import type { DiskStatus } from '../store/log.ts';
import { formatDuration, formatSize } from '../units.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { paint, printLine } from './context.ts';
import type { Style } from './context.ts';
import { totalsText } from './ledger.ts';
import { dataFolderOf } from './place.ts';
import { scrubText } from './scrub-text.ts';
import { formatTable } from './table.ts';
import { topicTable } from './topics.ts';
import { wearLines } from './wear-lines.ts';

/** `gatelog status`. */
export async function showStatus(
  context: CliContext,
  options: PlaceOptions & { readonly json: boolean },
): Promise<void> {
  const status = await new ControlClient(dataFolderOf(context, options)).status();
  if (options.json) printLine(context, JSON.stringify(status));
  else for (const line of statusLines(context, status)) printLine(context, line);
}

function statusLines(context: CliContext, status: AgentStatus): string[] {
  const { ingest, store, memory } = status;
  const fields: [string, string][] = [
    ...(status.degraded === null
      ? []
      : [['degraded', paint(context, 'red', status.degraded)] satisfies [string, string]]),
    ['gateway', `${status.gateway}, gatelog ${status.version}, process ${status.pid}`],
    ['data', `${status.data}, incarnation ${status.incarnation}`],
    ['up', `${formatDuration(status.uptimeMs)}, since ${status.startedAt}`],
    ['memory', formatSize(memory.rssBytes)],
    ...(status.clock === null
      ? []
      : [['clock', clockText(context, status.clock)] satisfies [string, string]]),
    ['listens', status.listeners.length === 0 ? 'not yet' : status.listeners.join(', ')],
  ];
  if (ingest !== null) {
    const { received, unrouted, failed, dropped, connections } = ingest;
    const rest = [
      `${unrouted} without a route`,
      `${failed} failed`,
      ...(dropped > 0 ? [`${dropped} of QoS 0 dropped`] : []),
    ].join(', ');
    fields.push(['ingest', `${received} messages (${rest}), ${connections} connections now`]);
  }
  const { recordsAppended, commits, segments, diskBytes, losses } = store;
  const disk = `${formatSize(diskBytes)} in ${segments} ${segments === 1 ? 'segment' : 'segments'}`;
  fields.push(['log', `${recordsAppended} records in ${commits} commits since start, ${disk}`]);
  fields.push(['check', scrubText(store.scrub)]);
  for (const [at, line] of (status.wear === null ? [] : wearLines(status.wear)).entries()) {
    fields.push([at === 0 ? 'wear' : '', line]);
  }
  fields.push(['disk', diskText(context, store.disk)]);
  const lost = totalsText(losses);
  if (lost !== undefined) {
    fields.push(['ledger', paint(context, 'red', `${lost} (records; see gatelog gaps)`)]);
  }
  return [
    ...fields.map(([name, text]) => `${paint(context, 'bold', name.padEnd(8))}  ${text}`),
    '',
    ...topicTable(context, status.topics),
    ...(status.mirrors.length === 0 ? [] : ['', ...mirrorTable(context, status.mirrors)]),
  ];
}

function clockText(context: CliContext, clock: ClockStatus): string {
  const { state, source, since, time, aheadMs, jumps, lastJumpMs } = clock;
  const parts = [source === null ? state : `${state} (${source})`, `since ${since}`];
  if (jumps > 0 && lastJumpMs !== null) {
    const last = `${formatDuration(Math.abs(lastJumpMs))} ${lastJumpMs > 0 ? 'ahead' : 'back'}`;
    parts.push(`${jumps} ${jumps === 1 ? 'jump' : 'jumps'}, the last ${last}`);
  }
  if (aheadMs !== 0) parts.push(`the time is ${time} and not what the clock shows`);
  const text = parts.join(', ');
  return state === 'suspect' ? paint(context, 'yellow', text) : text;
}

function diskText(context: CliContext, disk: DiskStatus): string {
  const { step, roomBytes, maxBytes, reserveBytes, reserveTargetBytes, refusedTopics } = disk;
  const room = roomBytes === null ? '' : `, room for ${formatSize(Math.max(0, roomBytes))}`;
  const cap = maxBytes === null ? '' : ` within a cap of ${formatSize(maxBytes)}`;
  const reserve = `reserve ${formatSize(reserveBytes)} of ${formatSize(reserveTargetBytes)}`;
  const topics = refusedTopics.length === 0 ? '' : `; refused: ${refusedTopics.join(', ')}`;
  const text = `${step}${room}${cap}, ${reserve}${topics}`;
  const refuses = step === 'refuse' || refusedTopics.length > 0;
  if (refuses) return paint(context, 'red', text);
  return step === 'ok' ? text : paint(context, 'yellow', text);
}

export function mirrorTable(context: CliContext, mirrors: readonly MirrorStatus[]): string[] {
  const rows = mirrors.map((mirror) => [
    mirror.name,
    mirror.state,
    String(mirror.lagRecords),
    mirror.lagMs === undefined ? '?' : formatDuration(mirror.lagMs),
    String(mirror.recordsSent),
    String(mirror.recordsRejected),
    String(mirror.recordsMissing),
  ]);
  const [head = '', ...lines] = formatTable(
    [
      { title: 'MIRROR' },
      { title: 'STATE' },
      { title: 'LAG', right: true },
      { title: 'LAG TIME', right: true },
      { title: 'SENT', right: true },
      { title: 'REJECTED', right: true },
      { title: 'MISSING', right: true },
    ],
    rows,
  );
  const described = mirrors.flatMap((mirror, index) => [
    paint(context, styleOf(mirror), lines[index] ?? ''),
    ...reasonsOf(mirror).map((reason) => `  ${reason}`),
  ]);
  return [paint(context, 'bold', head), ...described];
}

function styleOf({ state }: MirrorStatus): Style {
  if (state === 'halted') return 'red';
  return state === 'live' || state === 'idle' ? 'green' : 'yellow';
}

/** Why it does not flow, as far as it does not. */
function reasonsOf(mirror: MirrorStatus): string[] {
  const stopped = mirror.topics
    .filter(({ state }) => state !== 'mirrored')
    .map(
      ({ topic, state, reason }) =>
        `${topic} is ${state}${reason === undefined ? '' : `: ${reason}`}`,
    );
  return [...(mirror.reason === undefined ? [] : [mirror.reason]), ...stopped];
}
