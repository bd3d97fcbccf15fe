import { unreachable } from '../../assert.ts';
import type { ViewSize } from '../screen.ts';
import type { DemoEvent, DemoState, LinkView, NodeState, Tone } from './state.ts';
import {
  clip,
  clockTime,
  count,
  fit,
  plural,
  shortSeconds,
  sparkline,
  timeOfDay,
  type Paint,
  type Style,
  widthOf,
} from './text.ts';

/** Below this nothing sensible can be laid out; the view says so instead. */
const MIN_COLUMNS = 50;
const MIN_ROWS = 12;
const WIDEST = 160;

const TONES: Readonly<Record<Tone, Style>> = {
  plain: 'reset',
  good: 'green',
  warn: 'yellow',
  bad: 'red',
};

/**
 * The live view as lines: a pure function of state and size, at most `rows` lines, none wider than
 * `columns`. From the top: title, the chain sensors → edge → link → centre with its figures,
 * readings, events, keys. What is short of room loses readings first, then events.
 */
export function renderView(state: DemoState, size: ViewSize, paint: Paint): string[] {
  const columns = Math.min(size.columns, WIDEST);
  if (columns < MIN_COLUMNS || size.rows < MIN_ROWS) return tooSmall(size);
  const top = [...title(state, columns, paint), ...chain(state, columns, paint)];
  const keys = keyLines(state, columns, paint);
  const free = size.rows - top.length - keys.length;
  const [readings, events] = shareOut(free, state, columns);
  const middle = [
    ...readingLines(state, columns, readings, paint),
    ...eventLines(state, columns, events, paint),
  ];
  const filler: string[] = Array.from({ length: Math.max(0, free - middle.length) }, () => '');
  return [...top, ...middle, ...filler, ...keys].slice(0, size.rows);
}

function tooSmall(size: ViewSize): string[] {
  const text = `gatelog demo: needs ${MIN_COLUMNS}×${MIN_ROWS}; q quits`;
  return size.rows < 1 ? [] : [clip(text, size.columns)];
}

function title(state: DemoState, columns: number, paint: Paint): string[] {
  const left = ' gatelog demo';
  const time =
    state.forMs === undefined
      ? clockTime(state.elapsedMs)
      : `${clockTime(state.elapsedMs)} of ${clockTime(state.forMs)}`;
  const goal =
    state.centre.kind === 'kafka'
      ? 'MQTT → log on disk → Apache Kafka, exactly once'
      : 'MQTT → log on disk → central, exactly once';
  const room = columns - left.length - time.length - 5;
  const middle = room >= 20 ? `  ${clip(goal, room)}` : '';
  const gap = ' '.repeat(Math.max(1, columns - left.length - widthOf(middle) - time.length - 1));
  return [
    paint('bold', left) + paint('dim', middle) + gap + time,
    paint('dim', '─'.repeat(columns)),
  ];
}

/** A state in a colour, the fullest wording first; the first one that fits is shown. */
interface Mark {
  readonly style: Style;
  readonly texts: readonly string[];
}

/** A row of the chain: name, mark and state on the left, a figure and its history on the right. */
interface Row {
  readonly name: string;
  readonly mark: Mark;
  readonly labels?: readonly string[];
  readonly figure?: string;
  readonly figureStyle?: Style;
  /** A remark, left out where it does not fit, or a history for a sparkline. */
  readonly trail?: string | readonly number[];
}

function chain(state: DemoState, columns: number, paint: Paint): string[] {
  const { sensors, edge, flow } = state;
  const perSecondIn = state.history.inPerSecond;
  const rows: Row[] = [
    {
      name: 'sensors',
      mark: sensorsMark(state),
      labels: ['in'],
      figure: `${count(perSecondIn.at(-1) ?? 0)} msg/s`,
      trail: perSecondIn,
    },
    {
      name: '',
      mark: detail(
        `  waiting ${count(sensors.waiting)}, sent again ${count(sensors.sentAgain)}`,
        `  waiting ${count(sensors.waiting)}, again ${count(sensors.sentAgain)}`,
        `  waiting ${count(sensors.waiting)}`,
      ),
      labels: ['acknowledged', 'acked'],
      figure: count(sensors.acknowledged),
      trail: 'on disk, and devices know',
    },
    {
      name: 'edge',
      mark: nodeMark(edge),
      labels: ['durable'],
      figure: count(flow.durable),
      figureStyle: 'bold',
      trail: 'records in the log',
    },
    {
      name: '',
      mark: detail(`  ${edge.address}`, `  ${edge.address.replace(/^mqtt:\/\//u, '')}`),
      ...(edge.restarts === 0 ? {} : { labels: ['restarts'], figure: count(edge.restarts) }),
    },
    ...wayUp(state),
  ];
  return rows.map((row) => chainLine(row, columns, paint));
}

/** The rows from the link upwards. */
function wayUp(state: DemoState): Row[] {
  const { flow, history, centre } = state;
  const lagging = (flow.lagRecords ?? 0) > Math.max(20, 2 * (history.inPerSecond.at(-1) ?? 0));
  const lagAge = (flow.lagMs ?? 0) === 0 ? '' : ` · ${shortSeconds(flow.lagMs ?? 0)}`;
  return [
    {
      name: 'link',
      mark: linkMark(state.link),
      labels: ['out'],
      figure: `${count(history.outPerSecond.at(-1) ?? 0)} msg/s`,
      trail: history.outPerSecond,
    },
    {
      name: '',
      mark: detail(
        ...(flow.reason === undefined ? [] : [`  mirror ${flow.mirror}: ${clip(flow.reason, 27)}`]),
        `  mirror ${flow.mirror}`,
        `  ${flow.mirror}`,
      ),
      labels: ['lag'],
      figure: `${count(flow.lagRecords)}${lagAge}`,
      figureStyle: lagging ? 'yellow' : 'reset',
      trail: history.lagRecords,
    },
    {
      name: centre.kind === 'kafka' ? 'kafka' : 'central',
      mark:
        centre.kind === 'kafka'
          ? { style: 'cyan', texts: [`● ${centre.brokers}`] }
          : nodeMark(centre.node),
      labels: ['mirrored'],
      figure: count(flow.mirrored),
      figureStyle: 'bold',
      trail: centre.kind === 'kafka' ? 'confirmed by Kafka' : `stored ${count(centre.stored)}`,
    },
  ];
}

function detail(...texts: readonly string[]): Mark {
  return { style: 'dim', texts };
}

interface ChainWidths {
  readonly name: number;
  readonly mark: number;
  readonly label: number;
  readonly figure: number;
  readonly trail: number;
}

function chainWidths(columns: number): ChainWidths {
  const wide = columns >= 76;
  const widths = wide
    ? { name: 9, mark: columns >= 110 ? 50 : 25, label: 12, figure: 15 }
    : {
        name: 9,
        mark: Math.min(25, Math.floor((columns - 9) * 0.4)),
        label: 9,
        figure: columns < 56 ? 13 : 15,
      };
  const used = widths.name + widths.mark + widths.label + widths.figure + 3;
  return { ...widths, trail: Math.max(0, columns - used) };
}

function chainLine(row: Row, columns: number, paint: Paint): string {
  const widths = chainWidths(columns);
  const name =
    row.name === ''
      ? paint('dim', fit(' │', widths.name))
      : paint('bold', fit(` ${row.name}`, widths.name));
  const mark = paint(row.mark.style, fit(firstFitting(row.mark.texts, widths.mark), widths.mark));
  const label = fit(firstFitting(row.labels ?? [''], widths.label), widths.label);
  const figure = clip(row.figure ?? '', widths.figure).padStart(widths.figure);
  const { trail = '' } = row;
  const remark =
    typeof trail === 'string'
      ? paint('dim', trail.length <= widths.trail ? trail : '')
      : paint('cyan', sparkline(trail, widths.trail));
  return `${name}${mark} ${paint('dim', label)}${paint(row.figureStyle ?? 'reset', figure)}  ${remark}`;
}

function firstFitting(texts: readonly string[], width: number): string {
  return texts.find((text) => widthOf(text) <= width) ?? texts.at(-1) ?? '';
}

function sensorsMark(state: DemoState): Mark {
  const { connected, total, paused, speed } = state.sensors;
  if (paused) {
    return { style: 'yellow', texts: [`‖ paused, ${connected}/${total} connected`, '‖ paused'] };
  }
  const fast = speed === 1 ? '' : `, ×${speed}`;
  return {
    style: connected === total ? 'green' : 'yellow',
    texts: [`● ${connected}/${total} connected${fast}`, `● ${connected}/${total}${fast}`],
  };
}

function nodeMark(node: NodeState): Mark {
  const pid = node.pid === undefined ? '' : `, pid ${node.pid}`;
  switch (node.phase) {
    case 'starting':
      return { style: 'yellow', texts: [`◌ starting${pid}`, '◌ starting'] };
    case 'running':
      return { style: 'green', texts: [`● running${pid}`, '● running'] };
    case 'restarting':
      return { style: 'red', texts: ['✗ down, restarting', '✗ restarting'] };
    case 'stopped':
      return { style: 'yellow', texts: ['○ stopped'] };
    case 'failed':
      return { style: 'red', texts: ['✗ failed'] };
    default:
      return unreachable(node.phase);
  }
}

function linkMark(link: LinkView): Mark {
  switch (link) {
    case 'up':
      return { style: 'green', texts: ['● up'] };
    case 'cut':
      return { style: 'red', texts: ['✗ cut by you'] };
    case 'black-hole':
      return { style: 'red', texts: ['◌ black hole'] };
    case 'paused':
      return { style: 'yellow', texts: ['‖ mirror paused by you', '‖ mirror paused'] };
    default:
      return unreachable(link);
  }
}

const READING_WIDTH = 26;

/** Lines for readings and for events, headings and blank lines included. */
function shareOut(free: number, state: DemoState, columns: number): [number, number] {
  const perLine = Math.max(1, Math.floor((columns - 1) / READING_WIDTH));
  const wanted = Math.ceil(state.readings.length / perLine) + 1;
  const events = Math.max(Math.min(free, 7), free - wanted);
  return [Math.max(0, free - events), events];
}

function readingLines(state: DemoState, columns: number, lines: number, paint: Paint): string[] {
  if (lines < 2) return [];
  const perLine = Math.max(1, Math.floor((columns - 1) / READING_WIDTH));
  const width = Math.floor((columns - 1) / perLine);
  const shown = state.readings.slice(0, (lines - 1) * perLine);
  const rows: string[] = [];
  for (let at = 0; at < shown.length; at += perLine) {
    const cells = shown.slice(at, at + perLine).map((reading) => {
      const name = fit(reading.name, 13);
      return `${paint('dim', name)}${fit(reading.text, width - 13)}`;
    });
    rows.push(` ${cells.join('')}`.trimEnd());
  }
  return ['', ...rows];
}

function eventLines(state: DemoState, columns: number, lines: number, paint: Paint): string[] {
  if (lines < 2) return [];
  const shown = state.events.slice(-(lines - 1));
  return ['', ...shown.map((event) => eventLine(event, columns, paint))];
}

function eventLine(event: DemoEvent, columns: number, paint: Paint): string {
  const time = timeOfDay(event.atMs);
  const text = clip(event.text, columns - time.length - 4);
  return ` ${paint('dim', time)}  ${paint(TONES[event.tone], text)}`;
}

function keyLines(state: DemoState, columns: number, paint: Paint): string[] {
  const rule = paint('dim', '─'.repeat(columns));
  if (state.notice !== undefined) {
    return [rule, ` ${paint(['bold', 'yellow'], clip(state.notice, columns - 2))}`];
  }
  const keys = keyHelp(state);
  const usual = keys.filter(({ key }) => key !== KILL_CENTRAL);
  const brief = usual.map(({ key, brief: text }) => ({ key, long: text }));
  const fits = [keys, usual, brief].find(
    (texts) =>
      texts.reduce((sum, { key, long }) => sum + key.length + long.length + 4, 0) <= columns,
  );
  const line =
    fits === undefined
      ? brief.map(({ key, long }) => ` ${paint('inverse', key)} ${long}`)
      : fits.map(({ key, long }) => ` ${paint('inverse', ` ${key} `)} ${long}`);
  return [rule, line.join('')];
}

interface KeyHelp {
  readonly key: string;
  readonly long: string;
  readonly brief: string;
}

/** A key for the curious: told where there is room. */
const KILL_CENTRAL = 'K';

function keyHelp(state: DemoState): KeyHelp[] {
  const { link, sensors, centre } = state;
  const kafka = centre.kind === 'kafka';
  const cut = kafka
    ? { key: 'c', long: link === 'up' ? 'pause mirror' : 'go on', brief: 'mirror' }
    : { key: 'c', long: link === 'up' ? 'cut link' : 'restore', brief: 'link' };
  const hole = { key: 'b', long: 'black hole', brief: 'hole' };
  const pause = { key: 'p', long: sensors.paused ? 'go on' : 'pause', brief: 'pause' };
  return [
    cut,
    ...(kafka ? [] : [hole]),
    { key: 'k', long: 'kill agent', brief: 'kill' },
    ...(kafka ? [] : [{ key: KILL_CENTRAL, long: 'kill central', brief: 'central' }]),
    pause,
    { key: '+-', long: 'speed', brief: 'speed' },
    { key: 'q', long: 'quit', brief: 'quit' },
  ];
}

/** For a log line: how much of `durable` is mirrored. */
export function statusLine(state: DemoState): string {
  const { flow, history, sensors } = state;
  const lagAge = (flow.lagMs ?? 0) === 0 ? '' : ` (${shortSeconds(flow.lagMs ?? 0)})`;
  return [
    `in ${(history.inPerSecond.at(-1) ?? 0).toFixed(0)} msg/s`,
    `acknowledged ${count(sensors.acknowledged)}`,
    `durable ${count(flow.durable)}`,
    `mirrored ${count(flow.mirrored)}`,
    `lag ${flow.lagRecords === undefined ? '–' : plural(flow.lagRecords, 'record')}${lagAge}`,
    `edge ${state.edge.phase}`,
    `link ${state.link}`,
  ].join('  ');
}
