import { TRIAL_LIMITS } from '../../trial-limits.ts';
import type { Clock } from '../../time.ts';
import type { DemoEvent, Tone } from './state.ts';
import { oneLine } from './text.ts';

/** What happened, newest last; the oldest are forgotten. */
export class EventLog {
  readonly #clock: Clock;
  readonly #onEvent: (event: DemoEvent) => void;
  readonly #events: DemoEvent[] = [];

  constructor(clock: Clock, onEvent: (event: DemoEvent) => void) {
    this.#clock = clock;
    this.#onEvent = onEvent;
  }

  say(text: string, tone: Tone = 'plain'): void {
    const event = { atMs: this.#clock.nowMs(), text: oneLine(text), tone };
    this.#events.push(event);
    if (this.#events.length > TRIAL_LIMITS.demoEvents) this.#events.shift();
    this.#onEvent(event);
  }

  all(): readonly DemoEvent[] {
    return this.#events;
  }
}
