import { ControlClient } from '../admin/control-client.ts';
import type { AgentStatus } from '../admin/status.ts';
import { GatelogError, messageOf } from '../errors.ts';
import { holdProcess, isoTime } from '../time.ts';
import { formatDuration, parseDuration } from '../units.ts';
import { type CliContext, paint, type PlaceOptions } from './context.ts';
import { Interrupt, OutputGone, writeOut } from './output.ts';
import { dataFolderOf } from './place.ts';
import { Screen } from './screen.ts';
import { type Sighting, watchLines } from './status-view.ts';

export interface WatchOptions extends PlaceOptions {
  readonly json: boolean;
  readonly interval: string;
}

const SHORTEST_MS = 200;
const LONGEST_MS = 3_600_000;

/** `gatelog status --watch`: until q, Ctrl-C or a signal, which is no failure. */
export async function watchStatus(context: CliContext, options: WatchOptions): Promise<void> {
  const intervalMs = intervalOf(options.interval);
  if (!options.json) requireTerminal(context);
  const client = new ControlClient(dataFolderOf(context, options));
  const interrupt = new Interrupt();
  const hold = holdProcess(); // A clock's timers do not.
  const ask = (): Promise<AgentStatus> => client.status();
  try {
    if (options.json) await writeLines(context, ask, intervalMs, interrupt.signal);
    else await new LiveStatus(context, ask, intervalMs).run(interrupt.signal);
  } catch (error) {
    if (!(error instanceof OutputGone)) throw error;
  } finally {
    interrupt.release();
    hold.cancel();
  }
}

/** Throws USAGE. */
function intervalOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= SHORTEST_MS && ms <= LONGEST_MS) return ms;
  const message = `--interval: expected a duration from 200ms to 1h, such as 2s, found "${text}"`;
  throw new GatelogError('USAGE', message);
}

/** Throws USAGE. */
function requireTerminal({ stdout, env }: CliContext): void {
  if (stdout.isTTY === true && process.stdin.isTTY && env['TERM'] !== 'dumb') return;
  const message =
    'status --watch draws on a terminal, and there is none here; --json --watch writes a line each time, and without --watch it is told once';
  throw new GatelogError('USAGE', message);
}

/** As a script reads it: it ends with the agent. */
async function writeLines(
  context: CliContext,
  ask: () => Promise<AgentStatus>,
  intervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await writeOut(context, `${JSON.stringify(await ask())}\n`);
    await context.clock.sleep(intervalMs, signal);
  }
}

/** An agent that ends or starts again is waited for, and what it said last stays. */
class LiveStatus {
  readonly #context: CliContext;
  readonly #ask: () => Promise<AgentStatus>;
  readonly #intervalMs: number;
  readonly #screen: Screen;
  readonly #over = new AbortController();
  #seen: Sighting | undefined;

  constructor(context: CliContext, ask: () => Promise<AgentStatus>, intervalMs: number) {
    this.#context = context;
    this.#ask = ask;
    this.#intervalMs = intervalMs;
    this.#screen = new Screen({
      input: process.stdin,
      output: process.stdout,
      onKey: (key) => {
        if (['q', 'ctrl-c', 'ctrl-d'].includes(key)) this.#over.abort();
      },
      onResize: () => this.#draw(),
      onGone: () => this.#over.abort(),
    });
  }

  /** Throws what keeps it from asking the first time; the screen is not taken before. */
  async run(signal: AbortSignal): Promise<void> {
    this.#saw(await this.#ask());
    const over = AbortSignal.any([signal, this.#over.signal]);
    this.#screen.enter();
    try {
      while (!over.aborted) {
        this.#draw();
        await this.#context.clock.sleep(this.#intervalMs, over);
        await Promise.race([this.#look(), aborted(over)]);
      }
    } finally {
      this.#screen.leave();
    }
  }

  async #look(): Promise<void> {
    try {
      this.#saw(await this.#ask());
    } catch (error) {
      if (this.#seen === undefined) throw error;
      this.#seen = { ...this.#seen, trouble: this.#lost(this.#seen, messageOf(error)) };
    }
  }

  #saw(status: AgentStatus): void {
    const before = this.#seen?.status;
    this.#seen = { status, before, at: this.#context.clock.nowMs(), trouble: undefined };
  }

  #lost({ at }: Sighting, why: string): string {
    const ago = formatDuration(Math.max(0, this.#context.clock.nowMs() - at));
    return `what follows is ${ago} old: ${why}`;
  }

  #draw(): void {
    if (this.#seen === undefined) return;
    const { clock } = this.#context;
    const every = `every ${formatDuration(this.#intervalMs)}`;
    const time = isoTime(clock.nowMs()).slice(11, 19);
    const title = paint(this.#context, 'dim', `gatelog status ${every}, ${time} UTC; q ends it`);
    this.#screen.show(watchLines(this.#context, title, this.#seen, this.#screen.size()));
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}
