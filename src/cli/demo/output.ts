import { TRIAL_LIMITS } from '../../trial-limits.ts';
import type { Clock } from '../../time.ts';
import { Screen } from '../screen.ts';
import type { DemoEvent, DemoState } from './state.ts';
import { timeOfDay, type Paint } from './text.ts';
import { renderView, statusLine } from './view.ts';

/** Where the run is shown: a live view, or lines. */
export interface Output {
  start(): void;
  event(event: DemoEvent): void;
  /** The live view is over and the terminal given back; a report may follow. */
  stop(): Promise<void>;
}

export interface OutputOptions {
  readonly state: () => DemoState;
  readonly clock: Clock;
  readonly paint: Paint;
}

const FRAME_MS = 300;

export interface LiveOptions extends OutputOptions {
  readonly onKey: (key: string) => void;
  /** The terminal is gone. */
  readonly onGone: () => void;
}

/** Redraws in place, a few times a second, and at once after an event or a resize. */
export class LiveOutput implements Output {
  readonly #options: LiveOptions;
  readonly #screen: Screen;
  readonly #over = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#screen = new Screen({
      input: process.stdin,
      output: process.stdout,
      onKey: (key) => {
        options.onKey(key);
        this.#draw();
      },
      onResize: () => this.#draw(),
      onGone: options.onGone,
    });
  }

  start(): void {
    this.#screen.enter();
    this.#running ??= this.#run();
  }

  event(): void {
    if (this.#running !== undefined) this.#draw();
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
    this.#screen.leave();
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      this.#draw();
      await this.#options.clock.sleep(FRAME_MS, signal);
    }
  }

  #draw(): void {
    if (this.#over.signal.aborted) return;
    const { state, paint } = this.#options;
    this.#screen.show(renderView(state(), this.#screen.size(), paint));
  }
}

export interface PlainOptions extends OutputOptions {
  readonly print: (line: string) => void;
}

/** A line for every event, and one with the figures every few seconds. */
export class PlainOutput implements Output {
  readonly #options: PlainOptions;
  readonly #over = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: PlainOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  event(event: DemoEvent): void {
    this.#options.print(`${timeOfDay(event.atMs)}  ${event.text}`);
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, print, state } = this.#options;
    const { signal } = this.#over;
    for (;;) {
      await clock.sleep(TRIAL_LIMITS.demoStatusLineMs, signal);
      if (signal.aborted) return;
      print(`${timeOfDay(clock.nowMs())}  ${statusLine(state())}`);
    }
  }
}
