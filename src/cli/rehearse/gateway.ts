import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AgentStatus } from '../../admin/status.ts';
import { GatelogError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { makeFolders } from '../../make-folders.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import { Child, type ChildEnd } from '../demo/child.ts';
import { freePort } from '../demo/ports.ts';
import { between, type ExerciseSettings, holds } from './exercise.ts';

/** Runs as TypeScript in a checkout and as JavaScript when built: siblings have our own suffix. */
const SUFFIX = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const PROGRAM = fileURLToPath(new URL(`agent-process${SUFFIX}`, import.meta.url));
const LEASH = new URL(`../demo/leash${SUFFIX}`, import.meta.url).href;
export const GATEWAY = 'rehearsal';
const PORTS = [21_000, 47_000] as const;

export interface GatewayOptions {
  readonly name: string;
  /** Where its data goes; below the exercise's folder unless a disk of its own is rehearsed. */
  readonly data: string;
  /** Port of the link to its centre. */
  readonly upstreamPort?: number;
  readonly central?: boolean;
}

/** A real agent as a process of its own, started again when it ends. */
export class RehearsedGateway {
  readonly data: string;
  readonly port: number;
  readonly #settings: ExerciseSettings;
  readonly #child: Child;
  readonly #clockFile: string;
  #kills = 0;
  /** Ends that nobody had asked for. */
  readonly falls: ChildEnd[] = [];

  private constructor(
    settings: ExerciseSettings,
    options: GatewayOptions,
    files: { readonly config: string; readonly clock: string; readonly port: number },
  ) {
    this.#settings = settings;
    this.data = options.data;
    this.port = files.port;
    this.#clockFile = files.clock;
    this.#child = new Child({
      command: process.execPath,
      args: ['--import', LEASH, PROGRAM, files.config, files.clock],
      env: settings.env,
      clock: settings.clock,
      onEnd: (end) => {
        if (!end.killed) this.falls.push(end);
      },
    });
  }

  static async open(
    settings: ExerciseSettings,
    options: GatewayOptions,
  ): Promise<RehearsedGateway> {
    const { folder, random } = settings;
    await makeFolders(folder);
    const port = await freePort(between(random, ...PORTS));
    const config = path.join(folder, `${options.name}.yaml`);
    const clock = path.join(folder, `${options.name}.clock`);
    await writeFile(config, configuration(options, port));
    await writeFile(clock, '0');
    const gateway = new RehearsedGateway(settings, options, { config, clock, port });
    gateway.#child.start();
    return gateway;
  }

  get kills(): number {
    return this.#kills;
  }

  /**
   * Resolves when it answers; false when it does not in time, or somebody wants out. Throws INTERNAL
   * with its last words when it does not come up at all.
   */
  async ready(): Promise<boolean> {
    const answers = async (): Promise<boolean> => {
      if (this.#child.phase === 'failed') throw this.#failure();
      return (await this.status()) !== undefined;
    };
    return holds(answers, TRIAL_LIMITS.rehearseReadyMs, this.#settings);
  }

  #failure(): GatelogError {
    const words = this.falls.at(-1)?.tail.join('\n') ?? '';
    return new GatelogError('INTERNAL', `the rehearsed agent does not start: ${words}`);
  }

  /** undefined while it does not answer, or is not the process that runs now. */
  async status(): Promise<AgentStatus | undefined> {
    const status = await this.#settings.ask(this.data).catch(() => undefined);
    if (status === undefined || status.pid !== this.#child.pid) return undefined;
    if (status.listeners.length === 0) return undefined;
    this.#child.ready();
    return status;
  }

  /** SIGKILL; it starts again by itself. */
  kill(): void {
    if (this.#child.kill()) this.#kills++;
  }

  /** Its wall clock is wrong by so much from now on, over restarts too. */
  async setClock(wrongByMs: number): Promise<void> {
    await writeFile(this.#clockFile, String(Math.round(wrongByMs)));
    const { pid } = this.#child;
    if (pid !== undefined && this.#child.phase === 'running') process.kill(pid, 'SIGUSR2');
  }

  /** True when it stopped of itself, in time. */
  stop(): Promise<boolean> {
    return this.#child.stop(LIMITS.stopMs + LIMITS.closeMs);
  }
}

function configuration({ data, upstreamPort, central }: GatewayOptions, port: number): string {
  const mirrors =
    upstreamPort === undefined
      ? ''
      : `mirrors:\n  central:\n    mqtt: { url: "mqtt://127.0.0.1:${upstreamPort}", connectTimeout: 3s }\n`;
  return `gateway: ${central === true ? `${GATEWAY}-central` : GATEWAY}
data: ${JSON.stringify(data)}
log: { format: json, level: warn }
http: false
mqtt:
  listen: ["mqtt://127.0.0.1:${port}"]
  central: ${central === true}
store: { segment: 1MiB }
topics:
  telemetry: { partitions: 8, retention: { time: 7d }, onFull: refuse }
${mirrors}`;
}
