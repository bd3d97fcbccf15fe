import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ControlClient } from '../../src/admin/control-client.ts';
import { type Running, startProcess } from './process.ts';
import { Terminal } from './terminal.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Runs of `gatelog demo` on one temporary folder; everything is stopped by `close`. */
export class DemoRig {
  readonly folder: string;
  readonly #started: Running[] = [];
  readonly #terminals: Terminal[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<DemoRig> {
    return new DemoRig(await mkdtemp(join(tmpdir(), 'gatelog-demo-')));
  }

  /** Without a terminal: no standard input, outputs in pipes. */
  async run(...args: string[]): Promise<Running> {
    const words = this.#argsOf(args);
    const running = await startProcess({ command: process.execPath, args: words });
    this.#started.push(running);
    return running;
  }

  /** In a window of its own, which prints `code N` and the terminal's settings afterwards. */
  open(...args: string[]): Terminal {
    return this.openProgram(...this.#argsOf(args));
  }

  openProgram(...args: string[]): Terminal {
    const terminal = new Terminal([process.execPath, ...args]);
    this.#terminals.push(terminal);
    return terminal;
  }

  /** Of the agents that run now. */
  agentPids(): Promise<number[]> {
    return Promise.all(
      ['edge', 'central'].map(async (name) => {
        const status = await new ControlClient(join(this.folder, name)).status();
        return status.pid;
      }),
    );
  }

  async close(): Promise<void> {
    for (const running of this.#started) await running.stop(30_000);
    for (const terminal of this.#terminals) await terminal.close();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  /** The rig's folder, and a port far from those that people use, unless the test names others. */
  #argsOf(args: readonly string[]): string[] {
    const data = args.includes('--data') ? [] : ['--data', this.folder];
    const port = args.includes('--port') ? [] : ['--port', '23883'];
    return [MAIN, 'demo', ...data, ...port, ...args];
  }
}

/** The number before `words` in a verify report. */
export function figure(output: string, words: string): number {
  const found = new RegExp(`([\\d,]+) ${words}`, 'u').exec(output)?.[1];
  if (found === undefined) throw new Error(`no figure for "${words}" in:\n${output}`);
  return Number(found.replaceAll(',', ''));
}
