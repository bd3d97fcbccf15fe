import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemBoot } from '../boot.ts';
import { LIMITS } from '../limits.ts';
import type { Clock, Timer } from '../time.ts';

/** In the data folder; known to `gatelog doctor`. */
export const MARKERS_FILE = 'opening.json';

/** By database (`state`, or a segment's first commit): processes in a row that ended over it. */
export type Deaths = Readonly<Record<string, number>>;

/**
 * LevelDB ends the whole process when it meets certain damage (a zeroed page in a block that is not
 * compressed: docs/leveldb.md), at every start anew. So each database is marked while
 * it is opened and read, and the mark counts: one that is found there at a start was open when a
 * process ended. A kill leaves it too, so a count is a suspicion only, never a verdict.
 *
 * Not synced, and of no weight after a boot: what a power cut ends is no abort.
 */
export class StartMarkers {
  readonly #file: string;
  readonly #clock: Clock;
  readonly #timers = new Map<string, Timer>();
  readonly #boot = systemBoot()?.id ?? '';
  #deaths: Record<string, number> | undefined;
  /** As this process found them. */
  #found: Deaths = {};

  constructor(dataFolder: string, clock: Clock) {
    this.#file = join(dataFolder, MARKERS_FILE);
    this.#clock = clock;
  }

  /** How many processes in a row ended while it was open. */
  deaths(name: string): number {
    return this.#known()[name] ?? 0;
  }

  /**
   * It is opened; the mark goes with `end`, or when all went well for a while. A start closes and opens
   * again what it repairs: that does not begin the count anew.
   */
  begin(name: string): void {
    const known = this.#known();
    known[name] = (known[name] ?? this.#found[name] ?? 0) + 1;
    this.#timers.get(name)?.cancel();
    this.#timers.set(
      name,
      this.#clock.after(LIMITS.markerSettledMs, () => this.forget(name)),
    );
    this.#write();
  }

  /** It was closed. */
  end(name: string): void {
    this.#timers.get(name)?.cancel();
    this.#timers.delete(name);
    const known = this.#known();
    if (!(name in known)) return;
    delete known[name];
    this.#write();
  }

  /** Nothing is held against it any more. */
  forget(name: string): void {
    this.end(name);
    this.#found = { ...this.#found, [name]: 0 };
  }

  #known(): Record<string, number> {
    if (this.#deaths === undefined) {
      this.#found = readDeaths(this.#file, this.#boot);
      this.#deaths = { ...this.#found };
    }
    return this.#deaths;
  }

  /** A disk that can't be written has other troubles. */
  #write(): void {
    try {
      if (!isPlain(this.#file)) return; // Such as a pipe, which would be waited for.
      writeFileSync(this.#file, JSON.stringify({ boot: this.#boot, deaths: this.#deaths }));
    } catch {
      // The next mark tries again.
    }
  }
}

/** Empty where there is no such file, a torn one, or one of another boot. */
export function readDeaths(file: string, boot: string = systemBoot()?.id ?? ''): Deaths {
  try {
    if (!isPlain(file)) return {};
    const found = JSON.parse(readFileSync(file, 'utf8')) as {
      readonly boot: string;
      readonly deaths: Record<string, unknown>;
    };
    if (found.boot !== boot) return {};
    const counts = Object.entries(found.deaths).filter(([, count]) => typeof count === 'number');
    return Object.fromEntries(counts) as Deaths;
  } catch {
    return {};
  }
}

/** A file, or nothing. */
function isPlain(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? true;
}
