import { createTask, validate } from 'node-cron';
import { zoneOf, type Zone } from './calendar.ts';
import { GatelogError } from './errors.ts';
import { dateOf } from './time.ts';
import { DAY_MS, HOUR_MS } from './units.ts';

const MINUTE_MS = 60_000;
/** How far ahead a next moment is looked for: that long to a 29 February. */
const HORIZON_MS = 4 * 366 * DAY_MS;
/** No clock is set by more; so far apart moments come in the order that they have on the wall. */
const SHIFT_MS = 3 * HOUR_MS;

export function isCronExpression(cron: string): boolean {
  return validate(cron);
}

/** Throws CONFIG_INVALID unless it is a cron expression. */
export function requireCron(cron: string): void {
  if (isCronExpression(cron)) return;
  throw new GatelogError(
    'CONFIG_INVALID',
    `${JSON.stringify(cron)} is no cron expression: five fields (minute, hour, day of month, ` +
      `month, day of week) are expected, as in "*/5 * * * *"`,
  );
}

/** Whether a cron expression means a moment, by the clock of this process's zone. */
export function cronMatcher(cron: string): (instantMs: number) => boolean {
  const task = createTask(cron, () => {});
  return (instantMs) => task.match(dateOf(instantMs));
}

/**
 * The moments that a cron expression of five fields means in a time zone. The expression is asked
 * about wall times, so that a moment which the clock jumps over when it is set ahead comes as soon
 * as it can, and one that it shows twice comes once.
 */
export class CronMoments {
  readonly #zone: Zone;
  /** Whether it means some minute of the day, of the hour, and the minute. */
  readonly #levels: readonly {
    readonly spanMs: number;
    readonly means: (wallMs: number) => boolean;
  }[];

  constructor(cron: string, zone: Zone = zoneOf()) {
    requireCron(cron);
    this.#zone = zone;
    const fields = cron.trim().split(/\s+/u);
    const level = (spanMs: number, free: number) => {
      const wide = [...Array.from({ length: free }, () => '*'), ...fields.slice(free)].join(' ');
      const task = createTask(wide, () => {}, { timezone: 'UTC' });
      return { spanMs, means: (wallMs: number) => task.match(dateOf(wallMs)) };
    };
    this.#levels = [level(DAY_MS, 2), level(HOUR_MS, 1), level(MINUTE_MS, 0)];
  }

  /** The first one after an instant; undefined when there is none for years. */
  next(afterMs: number): number | undefined {
    const wallMs = this.#zone.wallMs(afterMs);
    const untilMs = wallMs + HORIZON_MS;
    let wall = this.#search(floor(wallMs - SHIFT_MS, MINUTE_MS), untilMs);
    while (wall !== undefined) {
      const instant = this.#zone.instantMs(wall);
      if (instant > afterMs) return instant;
      wall = this.#search(wall + MINUTE_MS, untilMs);
    }
    return undefined;
  }

  /** The last one at or before an instant, not longer ago than `withinMs`. */
  last(atMs: number, withinMs: number): number | undefined {
    const wallMs = this.#zone.wallMs(atMs);
    const untilMs = wallMs - withinMs - SHIFT_MS;
    let latest: number | undefined;
    let wall = this.#searchBack(floor(wallMs + SHIFT_MS, MINUTE_MS), untilMs);
    while (wall !== undefined && (latest === undefined || wall > wallMs - SHIFT_MS)) {
      const instant = this.#zone.instantMs(wall);
      if (instant <= atMs) latest = Math.max(latest ?? instant, instant);
      wall = this.#searchBack(wall - MINUTE_MS, untilMs);
    }
    return latest === undefined || latest < atMs - withinMs ? undefined : latest;
  }

  #search(fromMs: number, untilMs: number): number | undefined {
    let wall = fromMs;
    while (wall <= untilMs) {
      const misses = this.#levels.find(({ means }) => !means(wall));
      if (misses === undefined) return wall;
      wall = floor(wall, misses.spanMs) + misses.spanMs;
    }
    return undefined;
  }

  #searchBack(fromMs: number, untilMs: number): number | undefined {
    let wall = fromMs;
    while (wall >= untilMs) {
      const misses = this.#levels.find(({ means }) => !means(wall));
      if (misses === undefined) return wall;
      wall = floor(wall, misses.spanMs) - MINUTE_MS;
    }
    return undefined;
  }
}

function floor(ms: number, unitMs: number): number {
  return Math.floor(ms / unitMs) * unitMs;
}
