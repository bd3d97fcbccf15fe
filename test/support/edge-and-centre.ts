import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { AgentProcess, runGatelog } from './hunt/agent-process.ts';
import { agentStatus } from './hunt/control.ts';
import { until } from './hunt/wait.ts';
import { runChecked } from './process.ts';

const WITHIN_MS = 60_000;

/** A real agent of a pair that speaks MQTT: one topic `telemetry` of one partition. */
export class PairAgent {
  readonly data: string;
  readonly config: string;
  readonly #port: number;
  readonly #logFile: string;
  #agent: AgentProcess | undefined;

  /** `more`: YAML of the configuration's top level. */
  constructor(folder: string, name: string, port: number, more: string) {
    this.data = join(folder, name);
    this.config = join(folder, `${name}.yaml`);
    this.#logFile = join(folder, `${name}.log`);
    this.#port = port;
    writeFileSync(
      this.config,
      `gateway: ${name}\ndata: ${this.data}\nlog: { level: debug, format: json }\n` +
        `topics: { telemetry: { partitions: 1 } }\n${more}`,
    );
  }

  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error('the agent was not started');
    return this.#agent;
  }

  /** Resolves when devices can connect. */
  async start(...flags: readonly string[]): Promise<void> {
    const { config } = this;
    this.#agent = await AgentProcess.start({ config, logFile: this.#logFile, flags });
    const listens = async (): Promise<boolean> => {
      if (this.agent.ended) throw new Error(`the agent ended: ${this.#logFile}`);
      return agentStatus(this.data).then(
        ({ listeners }) => listeners.length > 0,
        () => false, // It is still starting.
      );
    };
    await until(listens, WITHIN_MS, () => `an agent ready: ${this.#logFile}`);
  }

  async end(): Promise<void> {
    await this.#agent?.kill();
  }

  async publish(lines: readonly string[]): Promise<void> {
    const flags = ['-h', '127.0.0.1', '-p', String(this.#port), '-q', '1', '-t', 'plant/a', '-l'];
    await runChecked({ command: 'mosquitto_pub', args: flags, input: `${lines.join('\n')}\n` });
  }

  async mirrorIs(wanted: (status: MirrorStatus) => boolean): Promise<MirrorStatus> {
    let last: MirrorStatus | undefined;
    const holds = async (): Promise<boolean> => {
      [last] = (await agentStatus(this.data)).mirrors;
      return last !== undefined && wanted(last);
    };
    await until(holds, WITHIN_MS, () => `a mirror: ${JSON.stringify(last)} ${this.#logFile}`);
    if (last === undefined) throw new Error('no status');
    return last;
  }

  /** All of the log is at the far side, and the mirror never halted. */
  async mirrored(): Promise<void> {
    const { state, reason } = await this.mirrorIs(
      (status) =>
        status.state === 'halted' ||
        (status.state === 'live' && status.lagRecords === 0 && status.topics.length > 0),
    );
    if (state === 'halted') throw new Error(`the mirror halted: ${reason}`);
  }

  async values(topic = 'telemetry'): Promise<string[]> {
    const args = ['consume', topic, '--data', this.data, '--from', 'beginning', '--json'];
    const { stdout } = await runGatelog(args);
    const lines = stdout.split('\n').filter((line) => line !== '');
    return lines.map((line) => (JSON.parse(line) as { value: string }).value);
  }
}
