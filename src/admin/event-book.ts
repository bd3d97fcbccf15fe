import { HTTP_LIMITS } from '../http-limits.ts';
import type { LogFields, Logger } from '../telemetry.ts';
import { type Clock, isoTime } from '../time.ts';

/** One thing that happened: a line of the agent's log, for who looks at it from outside. Field names are API. */
export interface AgentEvent {
  /** Ascending from 1 since start; a number left out is an event that was forgotten. */
  readonly id: number;
  /** ISO 8601 in UTC, by this machine's clock. */
  readonly time: string;
  readonly level: EventLevel;
  /** Its name, such as mirror.connected; empty: it has none. */
  readonly event: string;
  readonly message: string;
  readonly mirror: string | null;
  readonly topic: string | null;
}

export type EventLevel = 'info' | 'warn' | 'error';

const COMINGS: ReadonlySet<string> = new Set(['client.connected', 'client.disconnected']);

/**
 * The latest events, in memory. Devices that come and go are none: a hundred of them would leave no room
 * for anything else, and `clients` says who is there.
 */
export class EventBook {
  readonly #clock: Clock;
  readonly #events: AgentEvent[] = [];
  readonly #heard = new Set<(event: AgentEvent) => void>();
  readonly #counts: Record<EventLevel, number> = { info: 0, warn: 0, error: 0 };
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those after `id`, as far as they are remembered, oldest first. */
  after(id: number): readonly AgentEvent[] {
    return this.#events.filter((event) => event.id > id);
  }

  /** Until the function that is returned is called. */
  hear(listener: (event: AgentEvent) => void): () => void {
    this.#heard.add(listener);
    return () => this.#heard.delete(listener);
  }

  /** Lines of the log since start, by level, those of devices included. */
  counts(): Readonly<Record<EventLevel, number>> {
    return { ...this.#counts };
  }

  note(level: EventLevel, fields: LogFields, message: string): void {
    this.#counts[level]++;
    const event = textIn(fields, 'event') ?? '';
    if (COMINGS.has(event)) return;
    const noted: AgentEvent = {
      id: ++this.#lastId,
      time: isoTime(this.#clock.nowMs()),
      level,
      event,
      message: message.slice(0, HTTP_LIMITS.eventChars),
      mirror: textIn(fields, 'mirror'),
      topic: textIn(fields, 'topic'),
    };
    this.#events.push(noted);
    if (this.#events.length > HTTP_LIMITS.events) this.#events.shift();
    for (const listener of this.#heard) listener(noted);
  }
}

/** Writes to the log as before, and what is info or worse into the book. */
export function notingLogger(logger: Logger, book: EventBook, bound: LogFields = {}): Logger {
  const noting =
    (level: EventLevel): Logger[EventLevel] =>
    (fields, message) => {
      logger[level](fields, message);
      book.note(level, { ...bound, ...fields }, message);
    };
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: noting('info'),
    warn: noting('warn'),
    error: noting('error'),
    child: (bindings) => notingLogger(logger.child(bindings), book, { ...bound, ...bindings }),
  };
}

function textIn(fields: LogFields, name: string): string | null {
  const value = fields[name];
  return typeof value === 'string' ? value.slice(0, HTTP_LIMITS.eventChars) : null;
}
