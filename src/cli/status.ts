import { ControlClient } from '../admin/control-client.ts';
import type { AgentStatus, DedupStatus, HttpStatus } from '../admin/status.ts';
import type { ClockStatus } from '../clock-status.ts';
import { LIMITS } from '../limits.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import type { DiskStatus, StoreCounters } from '../store/log.ts';
import { isoTime } from '../time.ts';
import { formatDuration, formatSize } from '../units.ts';
import { counted } from '../words.ts';
import { accessTroubles } from './access-lines.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { paint, printLine } from './context.ts';
import type { Style } from './context.ts';
import { totalsText } from './ledger.ts';
import { holdLine } from './link-lines.ts';
import { dataFolderOf } from './place.ts';
import { rangeText } from './losses.ts';
import { restartText } from './reload.ts';
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

function httpFields(context: CliContext, { listeners, trouble }: HttpStatus): Field[] {
  return [
    ...(listeners.length === 0 ? [] : [['http', listeners.join(', ')] satisfies Field]),
    ...(trouble === null ? [] : [['http', paint(context, 'yellow', trouble)] satisfies Field]),
  ];
}

function dedupText({ remembered, atMost, ...counts }: DedupStatus): string {
  const known = `${counted(remembered, 'producer')} of at most ${atMost} remembered`;
  return [
    known,
    ...(counts.forgotten > 0 ? [`${counts.forgotten} forgotten for others`] : []),
    `${counted(counts.repeats, 'repeat')} not stored again`,
    ...(counts.gaps > 0 ? [counted(counts.gaps, 'gap')] : []),
    ...(counts.late > 0 ? [`${counted(counts.late, 'message')} late`] : []),
    ...(counts.unreadable > 0 ? [`${counts.unreadable} without a readable number`] : []),
  ].join(', ');
}

/** A line's name and its text. */
export type Field = readonly [name: string, text: string];

/** What a status has to say, in parts. */
export interface StatusParts {
  readonly head: readonly string[];
  /** Tables; empty: there is nothing for them. */
  readonly topics: readonly string[];
  readonly mirrors: readonly string[];
}

export function statusLines(context: CliContext, status: AgentStatus): string[] {
  const { head, topics, mirrors } = statusParts(context, status);
  return [head, topics, mirrors]
    .filter((part) => part.length > 0)
    .flatMap((part, index) => (index === 0 ? part : ['', ...part]));
}

/** `more` is told first. */
export function statusParts(
  context: CliContext,
  status: AgentStatus,
  more: readonly Field[] = [],
): StatusParts {
  const { ingest, memory, degraded } = status;
  const incarnation = degraded === null ? `, incarnation ${status.incarnation}` : '';
  const fields: Field[] = [
    ...(degraded === null ? [] : degradedFields(context, degraded)),
    ...more,
    ['gateway', `${status.gateway}, gatelog ${status.version}, process ${status.pid}`],
    ['data', `${status.data}${incarnation}`],
    ['up', `${formatDuration(status.uptimeMs)}, since ${status.startedAt}`],
    ...reloadFields(context, status.reload),
    ['memory', formatSize(memory.rssBytes)],
    ...(status.clock === null ? [] : [['clock', clockText(context, status.clock)] satisfies Field]),
    ['listens', status.listeners.length === 0 ? 'not yet' : status.listeners.join(', ')],
    ...httpFields(context, status.http),
    ...accessTroubles(status).map(({ name, isUrgent, text }): Field => [
      name,
      paint(context, isUrgent ? 'red' : 'yellow', text),
    ]),
  ];
  if (ingest !== null) {
    const { received, unrouted, returned, failed, dropped, notRetained, connections } = ingest;
    const rest = [
      `${unrouted} without a route`,
      `${failed} failed`,
      ...(returned > 0 ? [`${returned} of our own that came back`] : []),
      ...(dropped > 0 ? [`${dropped} of QoS 0 dropped`] : []),
      ...(notRetained > 0 ? [`${notRetained} not retained, for want of room`] : []),
    ].join(', ');
    const now = `${counted(connections, 'connection')} now`;
    fields.push(['ingest', `${counted(received, 'message')} (${rest}), ${now}`]);
    if (ingest.dedup !== null) fields.push(['dedup', dedupText(ingest.dedup)]);
  }
  const { store, wear } = status;
  if (store !== null) fields.push(...storeFields(context, store, wear));
  const head = fields.map(([name, text]) => `${paint(context, 'bold', name.padEnd(8))}  ${text}`);
  if (store === null) return { head, topics: [], mirrors: [] };
  const { topics, mirrors } = status;
  return {
    head,
    topics: topicTable(context, topics),
    mirrors: mirrors.length === 0 ? [] : mirrorTable(context, mirrors),
  };
}

function reloadFields(context: CliContext, reload: AgentStatus['reload']): Field[] {
  if (reload === null) return [];
  const { refused, at } = reload;
  const left = restartText(reload);
  return [
    ...(refused === null
      ? []
      : [
          [
            'config',
            paint(
              context,
              'red',
              `nothing of it was taken at ${at}: ${refused.replaceAll('\n', '; ')}`,
            ),
          ] satisfies Field,
        ]),
    ...(left === undefined ? [] : [['config', paint(context, 'yellow', left)] satisfies Field]),
  ];
}

/** At the top: it changes what everything below means. */
function degradedFields(context: CliContext, reason: string): Field[] {
  return [
    ['degraded', paint(context, 'red', reason)],
    ['', 'it serves without its log: what belongs into it is not acknowledged (QoS 0: only'],
    ['', 'delivered live), nothing is mirrored; it opens the log by itself as soon as it can'],
  ];
}

function storeFields(
  context: CliContext,
  store: StoreCounters,
  wear: AgentStatus['wear'],
): Field[] {
  const { recordsAppended, commits, segments, diskBytes, losses } = store;
  const disk = `${formatSize(diskBytes)} in ${counted(segments, 'segment')}`;
  const lines = wear === null ? [] : wearLines(wear);
  const lost = totalsText(losses);
  const { trouble } = store;
  return [
    ...(trouble === null
      ? []
      : [
          ['trouble', paint(context, 'red', `nothing is acknowledged: ${trouble}`)] satisfies Field,
        ]),
    [
      'log',
      `${counted(recordsAppended, 'record')} in ${counted(commits, 'commit')} since start, ${disk}`,
    ],
    ['check', scrubText(store.scrub)],
    ...lines.map((line, at): Field => [at === 0 ? 'wear' : '', line]),
    ['disk', diskText(context, store.disk)],
    ...droppedFields(context, store.disk),
    ...(lost === undefined
      ? []
      : [['ledger', paint(context, 'red', `${lost} (records; see gatelog gaps)`)] satisfies Field]),
  ];
}

function clockText(context: CliContext, clock: ClockStatus): string {
  const { state, why, source, forMs, time, aheadMs, jumps, lastJumpMs } = clock;
  const unasked = state === 'unconfirmed' ? ' (nobody says whether it is right)' : '';
  const parts = [
    source === null ? `${state}${unasked}` : `${state} (${source})`,
    `for ${formatDuration(forMs)}`,
  ];
  if (why !== null) parts.push(why);
  if (jumps > 0 && lastJumpMs !== null) {
    const last = `${formatDuration(Math.abs(lastJumpMs))} ${lastJumpMs > 0 ? 'ahead' : 'back'}`;
    parts.push(`${counted(jumps, 'jump')}, the last ${last}`);
  }
  if (Math.abs(aheadMs) >= LIMITS.clockToleranceMs)
    parts.push(`the time is ${time} and not what the clock shows`);
  const text = parts.join(', ');
  return state === 'suspect' ? paint(context, 'yellow', text) : text;
}

const STEPS: Readonly<Record<DiskStatus['step'], string>> = {
  ok: 'ok',
  warn: 'warn: it fills up',
  'drop-mirrored':
    'drop-mirrored: what every mirror has is given up, and the rest if that is not enough',
  'drop-unmirrored': 'drop-unmirrored: the oldest is given up, mirrored or not',
  refuse: 'refuse: nothing more is stored',
};

function diskText(context: CliContext, disk: DiskStatus): string {
  const { step, roomBytes, maxBytes, reserveBytes, reserveTargetBytes, refusedTopics } = disk;
  const room = roomBytes === null ? '' : `, room for ${formatSize(Math.max(0, roomBytes))}`;
  const cap = maxBytes === null ? '' : ` within a cap of ${formatSize(maxBytes)}`;
  const reserve = `reserve ${formatSize(reserveBytes)} of ${formatSize(reserveTargetBytes)}`;
  const topics = refusedTopics.length === 0 ? '' : `; refused: ${refusedTopics.join(', ')}`;
  const text = `${STEPS[step]}${room}${cap}, ${reserve}${topics}`;
  const refuses = step === 'refuse' || refusedTopics.length > 0;
  if (refuses) return paint(context, 'red', text);
  return step === 'ok' ? text : paint(context, 'yellow', text);
}

function droppedFields(context: CliContext, disk: DiskStatus): Field[] {
  const { recordsDropped, lastDroppedMs } = disk;
  if (recordsDropped === 0 || lastDroppedMs === null) return [];
  const are = recordsDropped === 1 ? 'was' : 'were';
  const text =
    `${counted(recordsDropped, 'record')} ${are} given up since start before every mirror had ` +
    `them, the last ${isoTime(lastDroppedMs)}`;
  return [['', paint(context, 'red', text)]];
}

export function mirrorTable(context: CliContext, mirrors: readonly MirrorStatus[]): string[] {
  const rows = mirrors.map((mirror) => [
    mirror.name,
    mirror.state,
    formatDuration(mirror.forMs),
    String(mirror.lagRecords),
    lagTime(mirror),
    String(mirror.recordsSent),
    String(mirror.recordsRejected),
    String(mirror.recordsMissing),
  ]);
  const [head = '', ...lines] = formatTable(
    [
      { title: 'MIRROR' },
      { title: 'STATE' },
      { title: 'FOR', right: true },
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

/** `-` without a lag. */
export function lagTime({ lagRecords, lagMs }: Pick<MirrorStatus, 'lagRecords' | 'lagMs'>): string {
  if (lagRecords === 0) return '-';
  return lagMs === undefined ? '?' : formatDuration(lagMs);
}

function styleOf({ state }: MirrorStatus): Style {
  if (state === 'halted' || state === 'refused') return 'red';
  return state === 'live' || state === 'idle' ? 'green' : 'yellow';
}

/** Why it does not flow, as far as it does not. */
function reasonsOf(mirror: MirrorStatus): string[] {
  const stopped = mirror.topics
    .filter(({ state }) => state === 'paused' || state === 'stopped')
    .map(
      ({ topic, state, reason }) =>
        `${topic} is ${state}${reason === undefined ? '' : `: ${reason}`}`,
    );
  const { downForMs, reason, slowness } = mirror;
  const down = downForMs === undefined ? '' : `no session for ${formatDuration(downForMs)}`;
  const why = [down, reason].filter((text) => text !== undefined && text !== '').join(': ');
  const holds = mirror.link?.holds ?? [];
  // Where everything is held back, the mirror's own reason says so.
  const isHeld = holds.some((hold) => hold.cause === mirror.state && hold.reason === reason);
  return [
    ...(why === '' ? [] : [why]),
    ...(isHeld ? [] : holds.map(holdLine)),
    ...(slowness === undefined ? [] : [slowness]),
    ...stopped,
    ...pendingLines(mirror),
  ];
}

/** What a person decided, and the far side has not been told yet. */
export function pendingLines({
  pendingSeeks,
  pendingSkips,
}: Pick<MirrorStatus, 'pendingSeeks' | 'pendingSkips'>): string[] {
  const seeks = pendingSeeks.map(
    ({ topic, partition, offset }) => `${topic}/${partition} is to go on from offset ${offset}`,
  );
  const skips = pendingSkips.map(
    ({ topic, partition, fromOffset, toOffset }) =>
      `${topic}/${partition} is to leave out ${rangeText(fromOffset, toOffset - 1)}`,
  );
  return [...seeks, ...skips].map((text) => `${text}, with the next session`);
}
