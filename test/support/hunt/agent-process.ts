import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import NODE_ENVIRONMENT from '../../../deploy/node-env.json' with { type: 'json' };
import NODE_FLAGS from '../../../deploy/node-flags.json' with { type: 'json' };
import {
  type Exit,
  type Finished,
  type ProcessSpec,
  runProcess,
  type Running,
  startProcess,
} from '../process.ts';
import { within } from './wait.ts';

const ROOT: string = join(import.meta.dirname, '../../..');
/** From the sources, or a build that GATELOG_MAIN names. */
const MAIN: string = process.env['GATELOG_MAIN'] ?? join(ROOT, 'src/main.ts');

export interface AgentOptions {
  /** YAML file. */
  readonly config: string;
  /** What the agent prints is added to this file. */
  readonly logFile: string;
  /** Behind `run`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Into a network of its own, say. */
  readonly enter?: Enter;
}

export type Enter = (spec: ProcessSpec) => ProcessSpec;

/** The real agent, `gatelog run`, as a process of its own, with Node's flags as it is deployed. */
export class AgentProcess {
  readonly #running: Running;
  #killed = false;

  private constructor(running: Running) {
    this.#running = running;
  }

  static async start(options: AgentOptions): Promise<AgentProcess> {
    appendFileSync(options.logFile, `--- start ${new Date().toISOString()}\n`);
    const { enter = (spec) => spec } = options;
    const spec = {
      command: process.execPath,
      args: [...NODE_FLAGS, MAIN, 'run', '--config', options.config, ...(options.flags ?? [])],
      logFile: options.logFile,
      env: { NODE_ENV: 'production', ...NODE_ENVIRONMENT, ...options.env },
    };
    const running = await startProcess(enter(spec));
    return new AgentProcess(running);
  }

  get pid(): number {
    return this.#running.pid;
  }

  get ended(): boolean {
    return this.#running.ended;
  }

  signal(name: NodeJS.Signals): void {
    this.#running.signal(name);
  }

  kill(): Promise<Exit> {
    this.#killed = true;
    return this.#running.kill();
  }

  /** Rejects when the agent ends without our doing. */
  async endedByItself(): Promise<void> {
    const exit = await this.#running.exited;
    if (!this.#killed) throw new Error(`the agent ended: ${JSON.stringify(exit)}`);
  }

  /** SIGTERM must end it with 0 in time. */
  async stop(withinMs = 30_000): Promise<void> {
    this.#killed = true;
    this.#running.signal('SIGTERM');
    const exit = await within(this.#running.exited, withinMs);
    if (exit?.code === 0) return;
    await this.kill();
    throw new Error(
      exit === undefined
        ? `the agent did not stop within ${withinMs} ms of SIGTERM`
        : `the agent's exit on SIGTERM: ${JSON.stringify(exit)}`,
    );
  }
}

/** `gatelog ARGS…` from the sources. */
export function runGatelog(args: readonly string[], limitMs = 120_000): Promise<Finished> {
  const env = { NO_COLOR: '1', NODE_ENV: 'production' };
  return runProcess({ command: process.execPath, args: [MAIN, ...args], env }, limitMs);
}
