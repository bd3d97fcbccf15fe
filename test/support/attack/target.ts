import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { anonymousKiB } from '../../bench/memory-watch.ts';
import { AgentProcess } from '../hunt/agent-process.ts';
import { until } from '../hunt/wait.ts';
import { RawDevice } from '../mqtt-raw.ts';
import { freePorts } from '../ports.ts';
import { type Running, startProcess } from '../process.ts';

export interface Service {
  readonly sent: number;
  readonly unanswered: number;
  /** Milliseconds until the acknowledgement. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** A real agent that is attacked, and an innocent client of it, each a process of its own. */
export class Target {
  readonly port: number;
  readonly #agent: AgentProcess;
  readonly #innocent: Running;
  readonly #watch: NodeJS.Timeout;
  #peakKiB = 0;

  private constructor(port: number, agent: AgentProcess, innocent: Running) {
    this.port = port;
    this.#agent = agent;
    this.#innocent = innocent;
    this.#watch = setInterval(() => this.#look(), 50);
  }

  /** `mqtt`: lines below `mqtt`, as YAML. */
  static async start(folder: string, mqtt = ''): Promise<Target> {
    const [port = 0] = await freePorts(1);
    const config = join(folder, 'gatelog.yaml');
    writeFileSync(
      config,
      `gateway: target\ndata: ${join(folder, 'data')}\nlog: { level: warn, format: json }\n` +
        `mqtt:\n  listen: [ "mqtt://127.0.0.1:${port}" ]\n${mqtt}` +
        'topics: { telemetry: { partitions: 1, retention: { bytes: 64MiB } } }\n' +
        'store: { segment: 8MiB, reserve: 0 }\n',
    );
    const agent = await AgentProcess.start({ config, logFile: join(folder, 'agent.log') });
    await until(
      () => serves(port),
      30_000,
      () => 'the agent takes connections',
    );
    const innocent = await startProcess({
      command: process.execPath,
      args: [join(import.meta.dirname, 'innocent-process.ts'), String(port)],
      holdInput: true,
    });
    await innocent.waitFor(/ready/u);
    return new Target(port, agent, innocent);
  }

  get pid(): number {
    return this.#agent.pid;
  }

  /** It runs yet. */
  get alive(): boolean {
    return !this.#agent.ended;
  }

  memoryKiB(): number {
    return anonymousKiB(this.pid);
  }

  /** The most anonymous memory since the last call. */
  takePeakKiB(): number {
    this.#look();
    const peak = this.#peakKiB;
    this.#peakKiB = 0;
    return peak;
  }

  /** What the innocent client saw. Throws where it was not served. */
  async service(): Promise<Service> {
    this.#innocent.endInput();
    const { code } = await this.#innocent.exited;
    const said = this.#innocent.stdout().trim().split('\n').at(-1) ?? '';
    if (code !== 0) throw new Error(`the innocent client was not served: ${said}`);
    return JSON.parse(said) as Service;
  }

  /** It must end on SIGTERM in time. */
  async stop(): Promise<void> {
    clearInterval(this.#watch);
    await this.#innocent.kill();
    await this.#agent.stop();
  }

  async kill(): Promise<void> {
    clearInterval(this.#watch);
    await this.#innocent.kill();
    await this.#agent.kill();
  }

  #look(): void {
    if (!this.#agent.ended) this.#peakKiB = Math.max(this.#peakKiB, this.memoryKiB());
  }
}

async function serves(port: number): Promise<boolean> {
  const device = await RawDevice.connect(port, 5, { clientId: 'probe' }).catch(() => undefined);
  device?.close();
  return device !== undefined;
}
