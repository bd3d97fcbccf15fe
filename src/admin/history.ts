import { messageOf } from '../errors.ts';
import { HISTORY_LIMITS } from '../history-limits.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, isoTime, type Timer, untilBeat } from '../time.ts';
import { HistoryRing } from './history-ring.ts';
import type { AgentStatus } from './status.ts';

/**
 * The figures, in their order. Rates are per second over the step, the others as they were at its end;
 * where steps are put together, rates are averaged and of the others the greatest is kept (of free space the least).
 */
export const FIGURES = [
  'recordsIn',
  'bytesIn',
  'recordsOut',
  'bytesOut',
  'lagRecords',
  'lagMs',
  'diskBytes',
  'freeBytes',
  'memoryBytes',
  'connections',
] as const;
export type Figure = (typeof FIGURES)[number];
const RATES: ReadonlySet<Figure> = new Set(['recordsIn', 'bytesIn', 'recordsOut', 'bytesOut']);

/** Field names are API. */
export interface HistorySpan {
  readonly stepMs: number;
  /** Of the last figure of each series: ISO 8601 in UTC, by this machine's clock. */
  readonly until: string;
  /** Oldest first; null: not known then. */
  readonly series: Readonly<Record<Figure, readonly (number | null)[]>>;
}

export interface HistoryView {
  readonly hour: HistorySpan;
  readonly day: HistorySpan;
}

export interface HistoryOptions {
  readonly status: () => Promise<AgentStatus>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * What happened in the last hour and in the last day, for the charts of the status page: since start, in
 * memory, some 50 KB whatever happens. A step in which the machine slept, or nothing could be measured, is null.
 */
export class History {
  readonly #options: HistoryOptions;
  readonly #hour = ringOf(HISTORY_LIMITS.hour);
  readonly #day = ringOf(HISTORY_LIMITS.day);
  #pending: number[][] = [];
  #before: AgentStatus | undefined;
  #beforeMs = 0;
  #dueMs = 0;
  #hourAtMs: number;
  #dayAtMs: number;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#hourAtMs = options.clock.monotonicMs();
    this.#dayAtMs = this.#hourAtMs;
  }

  get bytes(): number {
    return this.#hour.bytes + this.#day.bytes;
  }

  start(): void {
    const { clock } = this.#options;
    const { stepMs } = this.#hour;
    this.#dueMs = clock.monotonicMs() + untilBeat(clock, stepMs) - stepMs;
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  view(): HistoryView {
    return {
      hour: this.#spanOf(this.#hour, this.#hourAtMs),
      day: this.#spanOf(this.#day, this.#dayAtMs),
    };
  }

  #spanOf(ring: HistoryRing, atMs: number): HistorySpan {
    const { clock } = this.#options;
    const series = {} as Record<Figure, readonly (number | null)[]>;
    for (const [index, name] of FIGURES.entries()) series[name] = ring.series(index);
    return {
      stepMs: ring.stepMs,
      until: isoTime(clock.nowMs() - (clock.monotonicMs() - atMs)),
      series,
    };
  }

  async #look(): Promise<void> {
    const { clock, logger, status } = this.#options;
    try {
      const now = await status();
      if (this.#before !== undefined) this.#note(this.#before, now);
      this.#before = now;
      this.#beforeMs = clock.monotonicMs();
    } catch (error) {
      logger.debug({ error: messageOf(error) }, 'a step of the history is not known');
    }
    if (this.#stopped) return;
    const { stepMs } = this.#hour;
    const nowMs = clock.monotonicMs();
    // In step with the time that passes, whatever a look takes.
    this.#dueMs += stepMs * Math.max(1, Math.ceil((nowMs - this.#dueMs) / stepMs));
    this.#timer = clock.after(this.#dueMs - nowMs, () => void this.#look());
  }

  #note(before: AgentStatus, now: AgentStatus): void {
    const nowMs = this.#options.clock.monotonicMs();
    const passedMs = nowMs - this.#beforeMs;
    const { stepMs } = this.#hour;
    const missed = Math.min(
      Math.round(passedMs / stepMs) - 1,
      HISTORY_LIMITS.day.slots * this.#perDay,
    );
    for (let step = 0; step < missed; step++) this.#push([]);
    this.#hourAtMs = nowMs;
    this.#push(figuresOf(before, now, passedMs / 1000));
  }

  get #perDay(): number {
    return HISTORY_LIMITS.day.stepMs / HISTORY_LIMITS.hour.stepMs;
  }

  #push(figures: number[]): void {
    this.#hour.push(figures);
    this.#pending.push(figures);
    if (this.#pending.length < this.#perDay) return;
    this.#day.push(FIGURES.map((name, index) => together(name, this.#pending, index)));
    this.#dayAtMs = this.#options.clock.monotonicMs();
    this.#pending = [];
  }
}

function ringOf({ stepMs, slots }: { stepMs: number; slots: number }): HistoryRing {
  return new HistoryRing(stepMs, slots, FIGURES.length);
}

function together(name: Figure, steps: readonly number[][], index: number): number {
  const known = steps.map((step) => step[index] ?? Number.NaN).filter((one) => !Number.isNaN(one));
  if (known.length === 0) return Number.NaN;
  if (RATES.has(name)) return known.reduce((sum, one) => sum + one, 0) / known.length;
  return name === 'freeBytes' ? Math.min(...known) : Math.max(...known);
}

function figuresOf(before: AgentStatus, now: AgentStatus, seconds: number): number[] {
  const rate = (of: (status: AgentStatus) => number | undefined): number => {
    const [from, to] = [of(before), of(now)];
    // A counter that went back began anew, as that of a mirror that was taken out.
    if (from === undefined || to === undefined || to < from) return Number.NaN;
    return (to - from) / seconds;
  };
  const figures: Record<Figure, number> = {
    recordsIn: rate(({ store }) => store?.recordsAppended),
    bytesIn: rate(({ store }) => store?.bytesAppended),
    recordsOut: rate(({ mirrors }) => totalOf(mirrors.map((one) => one.recordsSent))),
    bytesOut: rate(({ mirrors }) => totalOf(mirrors.map((one) => one.bytesSent))),
    lagRecords: Math.max(0, ...now.mirrors.map((one) => one.lagRecords)),
    lagMs: Math.max(0, ...now.mirrors.map((one) => one.lagMs ?? 0)),
    diskBytes: now.store?.diskBytes ?? Number.NaN,
    freeBytes: now.store?.disk.freeBytes ?? Number.NaN,
    memoryBytes: now.memory.rssBytes,
    connections: now.ingest?.connections ?? Number.NaN,
  };
  return FIGURES.map((name) => figures[name]);
}

function totalOf(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
