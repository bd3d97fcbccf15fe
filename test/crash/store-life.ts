import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { runProcess } from '../support/process.ts';
import type { LoadPlan } from './load-plan.ts';

const PROGRAM = join(import.meta.dirname, 'store-process.ts');

/**
 * Compiles the program once, for every life that is given the result as environment: a life is
 * killed before it could leave its part of a cache, and most of its time would go into compiling.
 */
export async function compileProgram(folder: string): Promise<Readonly<Record<string, string>>> {
  const env = { NODE_COMPILE_CACHE: join(folder, 'compiled') };
  const { code, stderr } = await runProcess({ command: process.execPath, args: [PROGRAM], env });
  if (code !== 0) throw new Error(`${PROGRAM} can't be loaded: ${stderr}`);
  return env;
}

/** One life of the process under test: its lines, as they come, until it is killed. */
export class StoreLife {
  readonly #child: ChildProcess;
  readonly #take: (line: string) => void;
  readonly #ended: Promise<void>;
  readonly #waiters: { readonly line: string; readonly resolve: () => void }[] = [];
  #rest = '';
  #killed = false;
  #errors = '';

  constructor(plan: LoadPlan, env: Readonly<Record<string, string>>, take: (line: string) => void) {
    this.#take = take;
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(plan)], {
      env: { ...process.env, ...env },
      // Its input stays open as long as we live.
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.stdin?.on('error', () => {});
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#lines(text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        for (const { resolve: go } of this.#waiters.splice(0)) go();
        if (this.#killed) resolve();
        else reject(new Error(`the store ended by itself (${code ?? signal}): ${this.#errors}`));
      });
    });
    this.#ended.catch(() => {});
  }

  /** Resolves when the line came, or when it never will. */
  said(line: string): Promise<void> {
    return new Promise((resolve) => this.#waiters.push({ line, resolve }));
  }

  /** SIGKILL. Resolves when everything that it had said was taken. Rejects if it had ended itself. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#killed = true;
      this.#child.kill('SIGKILL');
    }
    await this.#ended;
  }

  #lines(text: string): void {
    const lines = (this.#rest + text).split('\n');
    // The last one may be torn by the kill.
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      this.#take(line);
      for (const waiter of this.#waiters.filter((one) => one.line === line)) waiter.resolve();
    }
  }
}
