import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../../src/random.ts';
import type { Drain } from '../../../src/mirror/selection.ts';
import type { MirrorStatus } from '../../../src/mirror/status.ts';
import { Witness } from '../../crash/witness.ts';
import { gatewayGrants } from '../kafka/admin.ts';
import type { KafkaCluster } from '../kafka/cluster.ts';
import type { Listener } from '../kafka/state.ts';
import { freePorts } from '../ports.ts';
import { runChecked } from '../process.ts';
import { AgentProcess } from './agent-process.ts';
import { agentStatus } from './control.ts';
import { until } from './wait.ts';

/** Topics of the system tests' gateways, with their partitions. */
export const GATEWAY_TOPICS: ReadonlyMap<string, number> = new Map([
  ['telemetry', 6],
  ['alarms', 2],
]);
const CENTRAL_PARTITIONS = 4;
const MIRROR = 'central';
const METERED_WAY = '[lo]';

export interface GatewayOptions {
  readonly folder: string;
  /** Name of the gateway; part of all its names in Kafka. */
  readonly name: string;
  readonly cluster: KafkaCluster;
  readonly listener: Listener;
  /** Of the mirror; the product's defaults where absent. */
  readonly compression?: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
  /** Records of one transaction at most. */
  readonly batchRecords?: number;
  /** How the mirror drains telemetry; alarms go before it, in the order of the log. */
  readonly drain?: Drain;
  /** Its way is metered: what is said of telemetry then. */
  readonly sample?: string;
  /** Chance of its power cuts; without it the agent runs without a witness. */
  readonly powerCuts?: Random;
}

/** An agent, its configuration and its mirror into a cluster; killed and started at will. */
export class Gateway {
  readonly name: string;
  readonly folder: string;
  readonly data: string;
  readonly config: string;
  readonly port: number;
  readonly logFile: string;
  #agent: AgentProcess | undefined;

  readonly #options: GatewayOptions;
  readonly #witness: Witness | undefined;

  private constructor(options: GatewayOptions, port: number, witness: Witness | undefined) {
    this.#options = options;
    this.#witness = witness;
    mkdirSync(options.folder, { recursive: true });
    this.name = options.name;
    this.folder = options.folder;
    this.port = port;
    this.data = join(diskOf(options), 'data');
    this.config = join(options.folder, 'gatelog.yaml');
    this.logFile = join(options.folder, 'agent.log');
    writeFileSync(this.config, configuration(options, this.data, port));
  }

  static async make(options: GatewayOptions): Promise<Gateway> {
    const [port = 0] = await freePorts(1);
    const { folder, powerCuts } = options;
    const witness =
      powerCuts === undefined
        ? undefined
        : await Witness.prepare({ folder, root: diskOf(options) });
    return new Gateway(options, port, witness);
  }

  /** From its next start on. */
  leaveMeteredWay(): void {
    const text = readFileSync(this.config, 'utf8');
    writeFileSync(this.config, text.replace(METERED_WAY, '[none0]'));
  }

  /** Another machine made from a copy of this one's disk. The agent must not run. */
  async clone(folder: string): Promise<Gateway> {
    const other = await Gateway.make({ ...this.#options, folder });
    cpSync(this.data, other.data, { recursive: true });
    rmSync(join(other.data, 'agent.sock'), { force: true });
    return other;
  }

  /** What the gateway's principal must be allowed, and nothing else. */
  async grant(cluster: KafkaCluster): Promise<void> {
    const grants = gatewayGrants({
      transactionalId: `gatelog.${this.name}`,
      group: `gatelog.${this.name}`,
      positionsTopic: `${this.name}.positions`,
      topics: this.centralTopics(),
      create: true,
    });
    await cluster.grant(cluster.state.users.gw.name, grants);
  }

  centralTopic(topic: string): string {
    return `${this.name}.${topic}`;
  }

  centralTopics(): string[] {
    return [...GATEWAY_TOPICS.keys()].map((topic) => this.centralTopic(topic));
  }

  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error('the agent was not started');
    return this.#agent;
  }

  async start(): Promise<AgentProcess> {
    const { config, logFile } = this;
    const env = this.#witness?.env ?? {};
    this.#agent = await AgentProcess.start({ config, logFile, env });
    return this.#agent;
  }

  /** The agent is dead afterwards. */
  async cutPower(): Promise<void> {
    const { powerCuts } = this.#options;
    if (this.#witness === undefined || powerCuts === undefined) throw new Error('no witness');
    await this.agent.kill();
    const { unfollowed } = this.#witness.cut(powerCuts);
    if (unfollowed.length > 0) throw new Error(`the witness can't follow: ${unfollowed.join()}`);
  }

  /** Resolves when devices can connect. */
  async ready(withinMs = 60_000): Promise<void> {
    let trouble = '';
    await until(
      async () => {
        if (this.agent.ended) throw new Error(`the agent ended: ${this.logFile}`);
        try {
          return (await agentStatus(this.data)).listeners.length > 0;
        } catch (error) {
          trouble = String(error); // it is still starting
          return false;
        }
      },
      withinMs,
      () => `agent of ${this.name} ready: ${trouble}`,
    );
  }

  /** Whatever state it is in. */
  async end(): Promise<void> {
    await this.#agent?.kill();
  }

  async mirror(): Promise<MirrorStatus> {
    const status = await agentStatus(this.data);
    const mirror = status.mirrors.find(({ name }) => name === MIRROR);
    if (mirror === undefined) throw new Error('the agent has no mirror');
    return mirror;
  }

  /** Resolves with the status when it is as wanted. */
  async mirrorIs(
    wanted: (status: MirrorStatus) => boolean,
    withinMs: number,
  ): Promise<MirrorStatus> {
    let last: MirrorStatus | undefined;
    let trouble = '';
    await until(
      async () => {
        try {
          last = await this.mirror();
        } catch (error) {
          trouble = String(error); // it is still starting
          return false;
        }
        return wanted(last);
      },
      withinMs,
      () => `mirror of ${this.name}: ${trouble} ${JSON.stringify(last)}`,
    );
    if (last === undefined) throw new Error('no status');
    return last;
  }

  /** Everything in the log is in Kafka. */
  async mirrored(withinMs: number): Promise<void> {
    const done = await this.mirrorIs(
      ({ state, topics, lagRecords }) =>
        state === 'halted' || (state === 'live' && topics.length > 0 && lagRecords === 0),
      withinMs,
    );
    if (done.state === 'halted') throw new Error(`the mirror halted: ${done.reason}`);
  }

  /** Lines as QoS 1 messages, by Mosquitto's own client; resolves when all are acknowledged. */
  async publish(
    topic: string,
    lines: readonly string[],
    more: readonly string[] = [],
  ): Promise<void> {
    const flags = ['-h', '127.0.0.1', '-p', String(this.port), '-q', '1', '-t', topic, '-l'];
    await runChecked({
      command: 'mosquitto_pub',
      args: [...flags, ...more],
      input: `${lines.join('\n')}\n`,
    });
  }
}

/** What a power cut takes bytes and names from; it holds nothing but the data folder. */
function diskOf({ folder }: GatewayOptions): string {
  return join(folder, 'disk');
}

function configuration(options: GatewayOptions, data: string, port: number): string {
  const { cluster, listener, name } = options;
  const { gw } = cluster.state.users;
  const topics = [...GATEWAY_TOPICS].map(
    ([topic, count]) => `  ${topic}: { partitions: ${count} }`,
  );
  const { compression = 'zstd', batchRecords, drain = 'backlog-first' } = options;
  const batch = batchRecords === undefined ? '' : `    batch: { records: ${batchRecords} }\n`;
  const { sample } = options;
  const sampled = sample === undefined ? '' : `, sample: ${sample}`;
  const metered = `{ interfaces: ${METERED_WAY}, networkManager: false, then: sample }`;
  const link = sample === undefined ? '' : `    link: { metered: ${metered} }\n`;
  const sasl = `{ mechanism: SCRAM-SHA-512, username: ${gw.name}, password: ${gw.password} }`;
  return `gateway: ${name}
data: ${data}
log: { level: debug, format: json }
mqtt:
  listen: [ "mqtt://127.0.0.1:${port}" ]
topics:
${topics.join('\n')}
routes:
  - { match: "alarms/#", topic: alarms }
  - { match: "#", topic: telemetry }
mirrors:
  ${MIRROR}:
    topics:
      - { match: alarms, class: alarm }
      - { match: telemetry, drain: ${drain}${sampled} }
      - "*"
${batch}${link}    kafka:
      compression: ${compression}
      brokers: [ ${cluster
        .bootstrap(listener)
        .map((address) => `"${address}"`)
        .join(', ')} ]
      topic: "{gateway}.{topic}"
      create: { partitions: ${CENTRAL_PARTITIONS}, replicationFactor: 3 }
      positionsTopic: ${name}.positions
      connectTimeout: 3s
      requestTimeout: 4s
      transactionTimeout: 10s
      sasl: ${sasl}
`;
}
