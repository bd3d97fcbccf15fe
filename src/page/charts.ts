import type { HistorySpan, HistoryView } from '../admin/history.ts';
import { askJson } from './api.ts';
import { make, part, setText } from './dom.ts';
import { bytes, count, duration, rate } from './format.ts';
import type { Plot, PlotMaker } from './uplot-types.ts';

type Span = keyof HistoryView;
type Series = (number | null)[];
type Figure = keyof HistorySpan['series'];

interface Curve {
  readonly label: string;
  readonly figure: Figure;
  /** A custom property of the style sheet. */
  readonly colour: string;
}

interface ChartSpec {
  readonly id: string;
  readonly title: string;
  readonly curves: readonly Curve[];
  readonly text: (value: number | null) => string;
}

const CHARTS: readonly ChartSpec[] = [
  {
    id: 'records',
    title: 'Records a second',
    curves: [
      { label: 'in', figure: 'recordsIn', colour: '--line-1' },
      { label: 'out', figure: 'recordsOut', colour: '--line-2' },
    ],
    text: rate,
  },
  {
    id: 'lag',
    title: 'Records behind',
    curves: [{ label: 'behind', figure: 'lagRecords', colour: '--line-3' }],
    text: count,
  },
  {
    id: 'disk',
    title: 'Log on disk',
    curves: [{ label: 'log', figure: 'diskBytes', colour: '--line-1' }],
    text: bytes,
  },
  {
    id: 'memory',
    title: 'Memory of the agent',
    curves: [{ label: 'memory', figure: 'memoryBytes', colour: '--line-2' }],
    text: bytes,
  },
];

const EVERY_MS = 10_000;
const HEIGHT = 130;

declare const uPlot: PlotMaker;

/** The last hour or day, drawn; each with its figures in words, for who does not see it. */
export class Charts {
  readonly #places = new Map<string, { readonly plot: HTMLElement; readonly words: HTMLElement }>();
  readonly #plots = new Map<string, Plot>();
  #span: Span = 'hour';
  #view: HistoryView | undefined;

  constructor() {
    for (const { id, title } of CHARTS) {
      const plot = make('div', { class: 'plot' });
      plot.setAttribute('aria-hidden', 'true');
      const words = make('p', { class: 'words' });
      part('charts').append(make('figure', {}, make('figcaption', {}, title), plot, words));
      this.#places.set(id, { plot, words });
    }
    for (const span of ['hour', 'day'] as const) {
      part(`span-${span}`).addEventListener('change', () => {
        this.#span = span;
        this.#draw(true);
      });
    }
    setInterval(() => {
      if (!document.hidden && !part('body').hidden) void this.look();
    }, EVERY_MS);
    new ResizeObserver(() => this.#resize()).observe(part('charts'));
  }

  async look(): Promise<void> {
    const view = await askJson<HistoryView>('/api/v1/history').catch(() => undefined);
    if (view === undefined) return;
    this.#view = view;
    this.#draw(false);
  }

  /** Colours are the theme's. */
  redraw(): void {
    this.#draw(true);
  }

  #draw(anew: boolean): void {
    const span = this.#view?.[this.#span];
    if (span === undefined) return;
    for (const spec of CHARTS) this.#drawOne(spec, span, anew);
  }

  #drawOne(spec: ChartSpec, span: HistorySpan, anew: boolean): void {
    const place = this.#places.get(spec.id);
    if (place === undefined) return;
    const curves = spec.curves.map(({ figure }) => [...span.series[figure]] as Series);
    const length = curves[0]?.length ?? 0;
    setText(place.words, wordsOf(spec, curves, this.#span));
    if (length < 2) return;
    const untilMs = Date.parse(span.until);
    const times = Array.from(
      { length },
      (_, at) => (untilMs - (length - 1 - at) * span.stepMs) / 1000,
    );
    const data = [times, ...curves];
    const known = this.#plots.get(spec.id);
    if (known !== undefined && !anew) {
      known.setData(data);
      return;
    }
    known?.destroy();
    this.#plots.set(
      spec.id,
      new uPlot(plotOptions(spec, place.plot.clientWidth), data, place.plot),
    );
  }

  #resize(): void {
    for (const [id, plot] of this.#plots) {
      const width = this.#places.get(id)?.plot.clientWidth ?? 0;
      if (width > 0) plot.setSize({ width, height: HEIGHT });
    }
  }
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function plotOptions(spec: ChartSpec, width: number): Readonly<Record<string, unknown>> {
  const axis = {
    stroke: colour('--quiet'),
    grid: { stroke: colour('--rule'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  };
  const value = (_: unknown, raw: number | null): string => spec.text(raw);
  return {
    width: Math.max(width, 240),
    height: HEIGHT,
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    legend: { show: spec.curves.length > 1, live: false },
    scales: { y: { range: (_: unknown, low: number, high: number) => rangeOf(spec, low, high) } },
    axes: [
      { ...axis, space: 60 },
      {
        ...axis,
        size: 62,
        space: 32,
        values: (_: unknown, ticks: number[]) => ticks.map((one) => spec.text(one)),
      },
    ],
    series: [
      {},
      ...spec.curves.map(({ label, colour: name }) => ({
        label,
        value,
        stroke: colour(name),
        width: 1.5,
        points: { show: false },
      })),
    ],
  };
}

/** From zero, so that a small change does not look like a great one. */
function rangeOf(_: ChartSpec, __: number, high: number | null): [number, number] {
  return [0, high === null || high <= 0 ? 1 : high * 1.08];
}

function wordsOf({ curves, text }: ChartSpec, data: readonly Series[], span: Span): string {
  const parts = curves.map(({ label }, at) => {
    const known = (data[at] ?? []).filter((one) => one !== null);
    const last = known.at(-1);
    if (last === undefined) return `${label}: nothing measured yet`;
    return `${label} ${text(last)}, at most ${text(Math.max(...known))}`;
  });
  const step = span === 'hour' ? 10_000 : 300_000;
  const length = (data[0]?.length ?? 0) * step;
  return `${parts.join('; ')} in ${duration(length)}`;
}
