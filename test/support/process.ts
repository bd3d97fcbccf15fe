import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';

/**
 * Child processes of the tests. Everything started here is stopped: by `stop` or `kill`, when the
 * starter exits, and (on Linux) even when the starter is killed outright.
 */
export interface ProcessSpec {
  readonly command: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Both outputs go to this file (appended) instead of to `output()`. */
  readonly logFile?: string;
  /** An own process group: Ctrl-C in a terminal does not reach it. */
  readonly ownGroup?: boolean;
  /** Written to standard input, which is then closed. Without it standard input is empty. */
  readonly input?: string | Buffer;
  /** Standard input stays open (for processes that take its end as "my starter is gone"). */
  readonly holdInput?: boolean;
  /** What it gets when its starter ends without stopping it. Default: SIGKILL. */
  readonly orphanSignal?: 'SIGKILL' | 'SIGTERM';
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Running {
  readonly pid: number;
  /** Resolves once, however it ends; never rejects. */
  readonly exited: Promise<Exit>;
  readonly ended: boolean;
  stdout(): string;
  stderr(): string;
  /**
   * Resolves with the first match in the whole lines of standard output or error, from the start
   * of each; a line that has not ended counts once the process has.
   */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL, and wait for the end. */
  kill(): Promise<Exit>;
  /** SIGTERM, then SIGKILL after `graceMs`; waits for the end. */
  stop(graceMs?: number): Promise<Exit>;
  /** Ends standard input (see `holdInput`). */
  endInput(): void;
}

const running = new Map<ChildProcess, NodeJS.Signals>();
let exitHookSet = false;

function killAllOnExit(): void {
  if (exitHookSet) return;
  exitHookSet = true;
  process.once('exit', () => {
    for (const [child, signal] of running) child.kill(signal);
  });
}

const SETPRIV = '/usr/bin/setpriv';
const diesWithParent = process.platform === 'linux' && existsSync(SETPRIV);

function describe(spec: ProcessSpec): string {
  return [spec.command, ...(spec.args ?? [])].join(' ').slice(0, 200);
}

function orphanSignal(spec: ProcessSpec): NodeJS.Signals {
  return spec.orphanSignal ?? 'SIGKILL';
}

function spawnChild(spec: ProcessSpec): ChildProcess {
  // setpriv replaces itself by the command, so the pid stays; the kernel then kills the command
  // when the thread that started it ends, which is the main thread here.
  const command = diesWithParent ? SETPRIV : spec.command;
  const args = diesWithParent
    ? ['--pdeathsig', orphanSignal(spec).slice(3), spec.command, ...(spec.args ?? [])]
    : [...(spec.args ?? [])];
  const log = spec.logFile === undefined ? undefined : openSync(spec.logFile, 'a');
  const wantsInput = spec.input !== undefined || spec.holdInput === true;
  try {
    return spawn(command, args, {
      cwd: spec.cwd,
      env: { ...process.env, ...spec.env },
      detached: spec.ownGroup === true,
      stdio: [wantsInput ? 'pipe' : 'ignore', log ?? 'pipe', log ?? 'pipe'],
    });
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

/** Starts a process and resolves once the system has accepted it. */
export async function startProcess(spec: ProcessSpec): Promise<Running> {
  killAllOnExit();
  const child = spawnChild(spec);
  running.set(child, orphanSignal(spec));
  const output = new Output(child);
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
      output.end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      running.delete(child);
      reject(new Error(`can't start ${describe(spec)}`, { cause: error }));
    });
  });
  child.on('error', () => {}); // a signal that came too late; `exited` tells the rest
  child.stdin?.on('error', () => {}); // the child closed its input first
  if (spec.input !== undefined) child.stdin?.end(spec.input);
  return new RunningChild(child, describe(spec), exited, output);
}

interface Waiter {
  readonly pattern: RegExp;
  readonly resolve: (match: RegExpExecArray) => void;
  readonly reject: (error: Error) => void;
}

class Output {
  stdout = '';
  stderr = '';
  #ended = false;
  readonly #waiters = new Set<Waiter>();

  constructor(child: ChildProcess) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#wake();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#wake();
    });
  }

  end(): void {
    this.#ended = true;
    this.#wake();
    for (const waiter of this.#waiters) waiter.reject(new Error('the process ended'));
    this.#waiters.clear();
  }

  /** A piece of a line would match `.*$` and is not what was said. */
  #whole(text: string): string {
    return this.#ended ? text : text.slice(0, text.lastIndexOf('\n') + 1);
  }

  find(pattern: RegExp): RegExpExecArray | null {
    return pattern.exec(this.#whole(this.stdout)) ?? pattern.exec(this.#whole(this.stderr));
  }

  add(waiter: Waiter): void {
    const match = this.find(waiter.pattern);
    if (match !== null) waiter.resolve(match);
    else if (this.#ended) waiter.reject(new Error('the process ended'));
    else this.#waiters.add(waiter);
  }

  delete(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      const match = this.find(waiter.pattern);
      if (match === null) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(match);
    }
  }
}

class RunningChild implements Running {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #output: Output;

  constructor(child: ChildProcess, name: string, exited: Promise<Exit>, output: Output) {
    if (child.pid === undefined) throw new Error(`${name} has no process id`);
    this.pid = child.pid;
    this.exited = exited;
    this.#child = child;
    this.#name = name;
    this.#output = output;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  stdout(): string {
    return this.#output.stdout;
  }

  stderr(): string {
    return this.#output.stderr;
  }

  waitFor(pattern: RegExp, timeoutMs: number = 30_000): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        clearTimeout(timer);
        const said = `${this.#output.stdout}\n${this.#output.stderr}`.trim().slice(-4000);
        reject(
          new Error(`${this.#name}: waited for ${pattern}: ${error.message}; it said:\n${said}`),
        );
      };
      const done = (match: RegExpExecArray): void => {
        clearTimeout(timer);
        resolve(match);
      };
      const waiter: Waiter = { pattern, resolve: done, reject: fail };
      const timer = setTimeout(() => {
        this.#output.delete(waiter);
        fail(new Error(`nothing for ${timeoutMs} ms`));
      }, timeoutMs);
      this.#output.add(waiter);
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  kill(): Promise<Exit> {
    if (!this.ended) this.#child.kill('SIGKILL');
    return this.exited;
  }

  async stop(graceMs: number = 10_000): Promise<Exit> {
    if (!this.ended) {
      this.#child.kill('SIGTERM');
      this.#child.kill('SIGCONT'); // a stopped process can't take its SIGTERM
    }
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  endInput(): void {
    this.#child.stdin?.end();
  }
}

export interface Finished extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. A time-out kills it and rejects; an exit code does not reject. */
export async function runProcess(spec: ProcessSpec, timeoutMs: number = 60_000): Promise<Finished> {
  const child = await startProcess(spec);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.signal('SIGKILL');
  }, timeoutMs);
  const exit = await child.exited;
  clearTimeout(timer);
  const result = { ...exit, stdout: child.stdout(), stderr: child.stderr() };
  if (!late) return result;
  throw new Error(
    `${describe(spec)} did not end within ${timeoutMs} ms; it said:\n` +
      `${result.stdout}\n${result.stderr}`.trim().slice(-4000),
  );
}

/** As `runProcess`, and an exit code other than 0 rejects with what the command said. */
export async function runChecked(spec: ProcessSpec, timeoutMs?: number): Promise<Finished> {
  const result = await runProcess(spec, timeoutMs);
  if (result.code === 0) return result;
  throw new Error(
    `${describe(spec)} ended with ${result.code ?? result.signal}:\n` +
      `${result.stdout}\n${result.stderr}`.trim().slice(-4000),
  );
}

/** Whether a process runs; one that has ended and that nobody has waited for (a zombie) does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    // The state stands behind the name, which is in brackets and may hold anything.
    return !/\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
