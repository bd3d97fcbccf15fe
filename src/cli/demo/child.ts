import { spawn, type ChildProcess } from 'node:child_process';
import { assert } from '../../assert.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import type { Clock, Timer } from '../../time.ts';

/**
 * - `starting`: the process runs, and nobody has called `ready` for it yet.
 * - `running`: it is ready.
 * - `restarting`: it ended and the next start waits for its back-off.
 * - `stopped`: it ended because it was asked to.
 * - `failed`: it never came up, TRIAL_LIMITS.demoStartAttempts times in a row.
 */
export type ChildPhase = 'starting' | 'running' | 'restarting' | 'stopped' | 'failed';

/** How a process ended that nobody had asked to stop. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** We killed it. */
  readonly killed: boolean;
  /** The last lines that it wrote, oldest first. */
  readonly tail: readonly string[];
  /** Until the next start; undefined when it is given up. */
  readonly restartInMs: number | undefined;
}

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** What it writes, for a log file. */
  readonly onOutput?: (bytes: Buffer) => void;
  readonly onEnd: (end: ChildEnd) => void;
}

/**
 * One process that is kept running: when it ends unasked it is started again, the wait doubling
 * with every start that did not get as far as `ready`.
 */
export class Child {
  readonly #options: ChildOptions;
  #phase: ChildPhase = 'stopped';
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #tail = '';
  #killed = false;
  #stopping = false;
  #failures = 0;
  #starts = 0;
  #restart: Timer | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
  }

  get phase(): ChildPhase {
    return this.#phase;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** How often it was started again. */
  get restarts(): number {
    return Math.max(0, this.#starts - 1);
  }

  /** Its last lines, oldest first. */
  get tail(): readonly string[] {
    return this.#tail.split('\n').filter((line) => line.trim() !== '');
  }

  start(): void {
    assert(this.#process === undefined, 'a child is started when it does not run');
    const { command, args, env } = this.#options;
    this.#phase = 'starting';
    this.#tail = '';
    this.#killed = false;
    this.#starts++;
    // The IPC channel is the leash: when this process dies, the child notices (leash.ts).
    // A session of its own (detached): a Ctrl-C at the terminal is for the demo alone.
    const stdio = ['ignore', 'pipe', 'pipe', 'ipc'] as const;
    const child = spawn(command, args, { env, detached: true, stdio: [...stdio] });
    this.#process = child;
    const keep = (bytes: Buffer): void => {
      this.#options.onOutput?.(bytes);
      this.#tail = (this.#tail + bytes.toString('utf8')).slice(-TRIAL_LIMITS.demoTailBytes);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    this.#ended = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        if (this.#process !== child) return;
        this.#process = undefined;
        this.#afterEnd(code, signal);
        resolve();
      };
      child.once('error', (error) => {
        keep(Buffer.from(`${error.message}\n`));
        if (child.pid === undefined) end(null, null);
      });
      // `close`, not `exit`: its last words have been read by then.
      child.once('close', end);
    });
  }

  /** The process does its work: the next unexpected end is met with the shortest wait again. */
  ready(): void {
    if (this.#phase !== 'starting') return;
    this.#phase = 'running';
    this.#failures = 0;
  }

  /** SIGKILL; it is started again. False when there is no process to kill. */
  kill(): boolean {
    if (this.#process === undefined || this.#stopping) return false;
    this.#killed = true;
    return this.#process.kill('SIGKILL');
  }

  /** SIGTERM, and SIGKILL after `withinMs`. Resolves true when it stopped of itself. */
  async stop(withinMs: number): Promise<boolean> {
    this.#stopping = true;
    this.#restart?.cancel();
    const child = this.#process;
    if (child === undefined) {
      if (this.#phase !== 'failed') this.#phase = 'stopped';
      return true;
    }
    let inTime = true;
    child.kill('SIGTERM');
    const limit = this.#options.clock.after(withinMs, () => {
      inTime = false;
      child.kill('SIGKILL');
    });
    await this.#ended;
    limit.cancel();
    return inTime;
  }

  /** Ends it at once, for the process's own last moment. */
  abandon(): void {
    this.#stopping = true;
    this.#restart?.cancel();
    this.#process?.kill('SIGKILL');
  }

  #afterEnd(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#stopping) {
      this.#phase = 'stopped';
      return;
    }
    const killed = this.#killed;
    if (!killed) this.#failures++;
    const givenUp = this.#failures >= TRIAL_LIMITS.demoStartAttempts;
    const doubled = TRIAL_LIMITS.demoRestartFirstMs * 2 ** Math.max(0, this.#failures - 1);
    const restartInMs = givenUp ? undefined : Math.min(doubled, TRIAL_LIMITS.demoRestartMaxMs);
    this.#phase = givenUp ? 'failed' : 'restarting';
    if (restartInMs !== undefined) {
      this.#restart = this.#options.clock.after(restartInMs, () => this.start());
    }
    this.#options.onEnd({ code, signal, killed, tail: this.tail, restartInMs });
  }
}
