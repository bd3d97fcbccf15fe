import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../../src/random.ts';
import type { MirrorStatus } from '../../../src/mirror/status.ts';
import { Witness } from '../../crash/witness.ts';
import { gatewayGrants } from '../kafka/admin.ts';
import type { KafkaCluster } from '../kafka/cluster.ts';
import type { Listener } from '../kafka/state.ts';
import { freePorts } from '../ports.ts';
import { type ProcessSpec, runChecked } from '../process.ts';
import { AgentProcess, type Enter } from './agent-process.ts';
import { agentStatus } from './control.ts';
import {
  GATEWAY_TOPICS,
  gatewayConfig,
  type GatewayMirror,
  MIRROR,
  type MirrorVariant,
  namesOf,
} from './gateway-config.ts';
import { randomLinkRules } from './link-rules.ts';
import { until } from './wait.ts';

export interface GatewayOptions extends MirrorVariant {
  readonly folder: string;
  /** Name of the gateway; part of all its names in Kafka. */
  readonly name: string;
  readonly cluster: KafkaCluster;
  readonly listener: Listener;
  /** A second mirror into the same cluster, with positions, topics and an order of its own. */
  readonly second?: MirrorVariant;
  readonly impatient?: boolean;
  /** Devices number their messages. */
  readonly numbered?: boolean;
  /** Where the agent and its devices run. */
  readonly enter?: Enter;
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
  readonly mirrors: readonly GatewayMirror[];
  /** Chance of its link policies, another at each start; without it the link may cost what it wants. */
  linkRules: Random | undefined;
  #isMetered = true;
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
    const { second } = options;
    const first = { ...options, name: MIRROR, prefix: '' };
    this.mirrors = second === undefined ? [first] : [first, { ...second, ...SECOND }];
    this.#configure();
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
    this.#isMetered = false;
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
    for (const mirror of this.mirrors) {
      const { id, positionsTopic } = namesOf(this.name, mirror);
      const topics = this.centralTopics(mirror);
      const rights = { transactionalId: id, group: id, positionsTopic, topics, create: true };
      await cluster.grant(cluster.state.users.gw.name, gatewayGrants(rights));
    }
  }

  centralTopic(topic: string, mirror: GatewayMirror | undefined = this.mirrors[0]): string {
    if (mirror === undefined) throw new Error('it has a mirror');
    return namesOf(this.name, mirror).topic(topic);
  }

  centralTopics(mirror: GatewayMirror | undefined = this.mirrors[0]): string[] {
    return [...GATEWAY_TOPICS.keys()].map((topic) => this.centralTopic(topic, mirror));
  }

  /** Those of all mirrors. */
  allCentralTopics(): string[] {
    return this.mirrors.flatMap((mirror) => this.centralTopics(mirror));
  }

  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error('the agent was not started');
    return this.#agent;
  }

  async start(): Promise<AgentProcess> {
    const { config, logFile } = this;
    this.#configure();
    const env = this.#witness?.env ?? {};
    const { enter } = this.#options;
    this.#agent = await AgentProcess.start({ config, logFile, env, ...(enter && { enter }) });
    return this.#agent;
  }

  async kill(): Promise<void> {
    await this.agent.kill();
    this.#witness?.died();
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

  #configure(): void {
    const { name, mirrors, linkRules } = this;
    const { cluster, listener, impatient = false, numbered = false } = this.#options;
    const isMetered = this.#isMetered;
    const setting = { name, mirrors, cluster, listener, impatient, isMetered, numbered };
    const linkOf = (): string => (linkRules === undefined ? '' : randomLinkRules(linkRules));
    writeFileSync(this.config, gatewayConfig(setting, this.data, this.port, linkOf));
  }

  /** Whatever state it is in. */
  async end(): Promise<void> {
    await this.#agent?.kill();
  }

  async mirror(wanted: string = MIRROR): Promise<MirrorStatus> {
    const status = await agentStatus(this.data);
    const mirror = status.mirrors.find(({ name }) => name === wanted);
    if (mirror === undefined) throw new Error('the agent has no mirror');
    return mirror;
  }

  /** Resolves with the status when it is as wanted. */
  async mirrorIs(
    wanted: (status: MirrorStatus) => boolean,
    withinMs: number,
    name: string = MIRROR,
  ): Promise<MirrorStatus> {
    let last: MirrorStatus | undefined;
    let trouble = '';
    await until(
      async () => {
        try {
          last = await this.mirror(name);
        } catch (error) {
          trouble = String(error); // it is still starting
          return false;
        }
        return wanted(last);
      },
      withinMs,
      () => `mirror ${name} of ${this.name}: ${trouble} ${JSON.stringify(last)}`,
    );
    if (last === undefined) throw new Error('no status');
    return last;
  }

  /**
   * Everything in the log is in Kafka, by every mirror. A machine may be slow: `withinMs` is for how
   * long nothing may go up.
   */
  async mirrored(withinMs: number): Promise<void> {
    for (const { name } of this.mirrors) {
      for (let sent = -1; ;) {
        const status = await this.mirrorIs(
          (now) => isAtEnd(now) || now.recordsSent > sent + PROGRESS_RECORDS,
          withinMs,
          name,
        );
        if (status.state === 'halted') throw new Error(`the mirror halted: ${status.reason}`);
        if (isAtEnd(status)) break;
        sent = status.recordsSent;
      }
    }
  }

  /** Lines as QoS 1 messages, by Mosquitto's own client; resolves when all are acknowledged. */
  async publish(
    topic: string,
    lines: readonly string[],
    more: readonly string[] = [],
  ): Promise<void> {
    const flags = ['-h', '127.0.0.1', '-p', String(this.port), '-q', '1', '-t', topic, '-l'];
    const { enter = (spec: ProcessSpec) => spec } = this.#options;
    await runChecked(
      enter({
        command: 'mosquitto_pub',
        args: [...flags, ...more],
        input: `${lines.join('\n')}\n`,
      }),
    );
  }
}

/** What counts as going up; repeats of the same few records do not. */
const PROGRESS_RECORDS = 500;

function isAtEnd({ state, topics, lagRecords }: MirrorStatus): boolean {
  return state === 'halted' || (state === 'live' && topics.length > 0 && lagRecords === 0);
}

const SECOND = { name: 'second', prefix: '.2' } as const;

/** What a power cut takes bytes and names from; it holds nothing but the data folder. */
function diskOf({ folder }: GatewayOptions): string {
  return join(folder, 'disk');
}
