import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive, type Running, startProcess } from '../process.ts';
import * as admin from './admin.ts';
import { CACHE } from './jars.ts';
import type { ClusterState, Listener, NodeState, SupervisorOptions } from './state.ts';

/** A real Kafka of several combined KRaft nodes on loopback, for tests and for a person. */
const RUNS = join(CACHE, 'run');

/** Environment variable with the `cluster.json` of a cluster that all of a run's files use. */
export const SHARED_CLUSTER = 'GATELOG_KAFKA';

export type KafkaClusterOptions = Partial<Omit<SupervisorOptions, 'id'>>;

export class KafkaCluster {
  readonly state: ClusterState;
  /** Undefined when this process only uses a cluster that another one started. */
  readonly #supervisor: Running | undefined;

  constructor(state: ClusterState, supervisor?: Running) {
    this.state = state;
    this.#supervisor = supervisor;
  }

  get nodes(): readonly NodeState[] {
    return this.state.nodes;
  }

  node(id: number): NodeState {
    const node = this.nodes.find((candidate) => candidate.id === id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** `host:port` of every node; for `proxied` the addresses where the test's own proxies listen. */
  bootstrap(listener: Listener): string[] {
    return this.nodes.map(
      ({ ports }) => `127.0.0.1:${listener === 'proxied' ? ports.proxy : ports[listener]}`,
    );
  }

  /** SIGKILL; resolves when the process is gone. */
  kill(id: number): Promise<void> {
    return this.#command('kill', id);
  }

  /** SIGSTOP: the broker's sockets stay open and silent. */
  stop(id: number): Promise<void> {
    return this.#command('stop', id);
  }

  cont(id: number): Promise<void> {
    return this.#command('cont', id);
  }

  /** Starts a killed node again; `waitUntilHealthy` tells when it is back. */
  start(id: number): Promise<void> {
    return this.#command('start', id);
  }

  /** Every node's process id, null for one that does not run. */
  async pids(): Promise<Record<string, number | null>> {
    const response = await fetch(`http://127.0.0.1:${this.state.controlPort}/pids`);
    return (await response.json()) as Record<string, number | null>;
  }

  async #command(verb: string, id: number): Promise<void> {
    const url = `http://127.0.0.1:${this.state.controlPort}/${verb}/${id}`;
    const response = await fetch(url, { method: 'POST' });
    if (!response.ok) throw new Error(`${verb} node ${id}: ${await response.text()}`);
  }

  /** Continues and starts whatever does not run, and waits until all is in sync again. */
  async restore(topics: readonly string[] = []): Promise<void> {
    const pids = await this.pids();
    for (const { id } of this.nodes) {
      if (pids[id] === null) await this.start(id);
      else await this.cont(id);
    }
    await this.waitUntilHealthy(topics);
  }

  /** All nodes up; the internal topics and `topics` led and in sync on all their replicas. */
  async waitUntilHealthy(
    topics: readonly string[] = [],
    timeoutMs: number = 90_000,
  ): Promise<void> {
    const all = ['__consumer_offsets', '__transaction_state', ...topics];
    await admin.eventually('kafka: healthy', timeoutMs, () => admin.checkHealthy(this.nodes, all));
  }

  openAdmin(): admin.TestAdmin {
    return admin.openAdmin(this.nodes);
  }

  createTopic(name: string, spec?: admin.TopicSpec): Promise<void> {
    return admin.createTopic(this.nodes, name, spec);
  }

  async deleteTopic(name: string): Promise<void> {
    const client = this.openAdmin();
    try {
      await client.deleteTopics({ topics: [name] });
    } finally {
      await client.close();
    }
  }

  grant(user: string, grants: readonly admin.Grant[]): Promise<void> {
    return admin.grant(this.nodes, user, grants);
  }

  revokeAll(user: string): Promise<void> {
    return admin.revokeAll(this.nodes, user);
  }

  /** Stops every process of the cluster and removes its folder; only by the one who started it. */
  async close(): Promise<void> {
    if (this.#supervisor === undefined) return;
    this.#supervisor.endInput();
    await this.#supervisor.stop(10_000);
  }
}

/** Removes what runs that were killed outright left behind. */
function removeOldRuns(): void {
  if (!existsSync(RUNS)) return;
  for (const name of readdirSync(RUNS)) {
    const folder = join(RUNS, name);
    const pidFile = join(folder, 'supervisor.pid');
    const known = existsSync(pidFile);
    if (known && isAlive(Number(readFileSync(pidFile, 'utf8')))) continue;
    if (!known && statSync(folder).mtimeMs > Date.now() - 60_000) continue;
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A cluster of three nodes, ready for use when this resolves. Without options of its own it is the
 * run's shared one where there is one (all nodes running and in sync again, `close` leaves it);
 * so name topics, groups and transactional ids apart.
 */
export async function startKafkaCluster(options?: KafkaClusterOptions): Promise<KafkaCluster> {
  const shared = process.env[SHARED_CLUSTER];
  if (shared === undefined || options !== undefined) return startOwnCluster(options ?? {});
  const cluster = connectKafkaCluster(shared);
  await cluster.restore();
  return cluster;
}

/** A running cluster's `cluster.json` may be named, to develop against; else one is started. */
export function openCluster(options?: KafkaClusterOptions): Promise<KafkaCluster> {
  const state = process.env['GATELOG_KAFKA_STATE'];
  if (state !== undefined) return Promise.resolve(connectKafkaCluster(state));
  return startKafkaCluster(options);
}

async function startOwnCluster(options: KafkaClusterOptions): Promise<KafkaCluster> {
  removeOldRuns();
  const full: SupervisorOptions = {
    id: randomBytes(4).toString('hex'),
    nodes: options.nodes ?? 3,
    heapMiB: options.heapMiB ?? 384,
    properties: options.properties ?? {},
    jvm: options.jvm ?? [],
  };
  const supervisor = await startProcess({
    command: process.execPath,
    args: [join(import.meta.dirname, 'supervisor.ts'), JSON.stringify(full)],
    holdInput: true,
    orphanSignal: 'SIGTERM',
    ownGroup: true,
  });
  try {
    const [, file = ''] = await supervisor.waitFor(/^ready (.+)$/m, 420_000);
    return new KafkaCluster(readState(file), supervisor);
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

function readState(file: string): ClusterState {
  return JSON.parse(readFileSync(file, 'utf8')) as ClusterState;
}

/** Uses a cluster that another process started, by its `cluster.json`. */
export function connectKafkaCluster(stateFile: string): KafkaCluster {
  return new KafkaCluster(readState(stateFile));
}
