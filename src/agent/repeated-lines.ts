import { LOG_LIMITS } from '../log-limits.ts';
import type { LogFields } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';

export type LineLevel = 'info' | 'warn' | 'error';
export type WriteLine = (fields: LogFields, message: string) => void;

interface Repeats {
  lines: number;
  /** Beyond the bound. */
  unsaid: number;
  /** How the last one would be written. */
  last: () => void;
}

/**
 * Bounds what one thing that goes wrong again and again writes: a card that wears out over its own log, and a
 * journal that drops what matters, help nobody. What is left out is counted, and told when the minute is over.
 */
export class RepeatedLines {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #known = new Map<string, Repeats>();
  #timer: Timer | undefined;

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  take(level: LineLevel, fields: LogFields, message: string, write: WriteLine): void {
    this.#timer ??= this.#clock.after(LOG_LIMITS.windowMs, () => this.tell());
    const { event } = fields;
    const name = typeof event === 'string' ? event : '';
    const same = this.#of(`${level} ${name} ${message}`);
    if (same !== undefined && ++same.lines > LOG_LIMITS.sameLines) {
      same.unsaid++;
      same.last = () => write(repeated(fields, same.unsaid), times(message, same.unsaid));
      return;
    }
    const all = this.#of(`${level} ${name}`, true);
    if (all !== undefined && ++all.lines > LOG_LIMITS.eventLines) {
      all.unsaid++;
      const about = name === '' ? {} : { event: name };
      all.last = () => write(repeated(about, all.unsaid), others(name, message, all.unsaid));
      return;
    }
    write(fields, message);
  }

  /** The window is over, or the process. */
  tell(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const known = [...this.#known.values()];
    this.#known.clear();
    for (const { unsaid, last } of known) if (unsaid > 0) last();
  }

  /** `must`: there is always room for it, for there are as many events as the code names. */
  #of(key: string, must: boolean = false): Repeats | undefined {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (!must && this.#known.size >= LOG_LIMITS.keys) return undefined;
    const fresh: Repeats = { lines: 0, unsaid: 0, last: () => {} };
    this.#known.set(key, fresh);
    return fresh;
  }
}

function repeated(fields: LogFields, unsaid: number): LogFields {
  return { ...fields, repeated: unsaid };
}

const SECONDS = LOG_LIMITS.windowMs / 1000;

function times(message: string, unsaid: number): string {
  return `${message} (${unsaid} more times in ${SECONDS} s)`;
}

function others(event: string, message: string, unsaid: number): string {
  const of = event === '' ? 'without an event' : `of ${event}`;
  return `${unsaid} more lines ${of} in ${SECONDS} s, the last: ${message}`;
}
