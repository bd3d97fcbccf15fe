import type { KafkaCluster } from '../kafka/cluster.ts';
import type { KafkaLink } from '../kafka/link.ts';
import {
  type CutApi,
  describeFault,
  type Fault,
  kindOf,
  type Lane,
  type PlannedFault,
} from './faults.ts';
import type { CutPoint } from '../kafka/requests.ts';
import type { Gateway } from './gateway.ts';
import { pause, within } from './wait.ts';

export interface DoneFault {
  readonly lane: Lane;
  readonly kind: string;
  readonly description: string;
  readonly atMs: number;
  readonly tookMs: number;
}

const CUT_WITHIN_MS = 120_000;
/** A request that another fault took away is waited for this long; then the next one is cut. */
const REARM_MS = 15_000;

/** Carries a plan out, the lanes side by side, each in its own order. */
export class FaultRunner {
  readonly #cluster: KafkaCluster;
  readonly #gateway: Gateway;
  readonly #link: KafkaLink;
  readonly #began = performance.now();
  readonly done: DoneFault[] = [];

  constructor(cluster: KafkaCluster, gateway: Gateway, link: KafkaLink) {
    this.#cluster = cluster;
    this.#gateway = gateway;
    this.#link = link;
  }

  async run(plan: readonly PlannedFault[]): Promise<void> {
    const lanes: readonly Lane[] = ['agent', 'broker', 'link'];
    await Promise.all(lanes.map((lane) => this.#carryOutAll(lane, plan)));
  }

  async #carryOutAll(lane: Lane, plan: readonly PlannedFault[]): Promise<void> {
    await this.#lane(plan.filter((one) => one.lane === lane));
    // What its last life may not send would be waited for by the cuts of others.
    if (lane !== 'agent' || this.#gateway.linkRules === undefined) return;
    this.#gateway.linkRules = undefined;
    await this.#gateway.agent.kill();
    await this.#gateway.start();
  }

  async #lane(plan: readonly PlannedFault[]): Promise<void> {
    for (const { lane, afterMs, fault } of plan) {
      await pause(afterMs);
      const started = performance.now();
      await this.#carryOut(fault);
      const done = {
        lane,
        kind: kindOf(fault),
        description: describeFault(fault),
        atMs: Math.round(started - this.#began),
        tookMs: Math.round(performance.now() - started),
      };
      this.done.push(done);
      console.log(
        `  ${(done.atMs / 1000).toFixed(1).padStart(6)} s  ${done.description} (${done.tookMs} ms)`,
      );
    }
  }

  async #carryOut(fault: Fault): Promise<void> {
    switch (fault.kind) {
      case 'agent-kill':
        if (this.#gateway.agent.ended) throw new Error('the agent ended by itself');
        await this.#gateway.kill();
        await this.#gateway.start();
        return;
      case 'power-cut':
        if (this.#gateway.agent.ended) throw new Error('the agent ended by itself');
        await this.#gateway.cutPower();
        await this.#gateway.start();
        return;
      case 'agent-stop':
        this.#gateway.agent.signal('SIGSTOP');
        await pause(fault.downMs);
        this.#gateway.agent.signal('SIGCONT');
        return;
      case 'broker-kill':
        await this.#cluster.kill(fault.broker);
        await pause(fault.downMs);
        await this.#cluster.start(fault.broker);
        await this.#cluster.waitUntilHealthy(this.#gateway.allCentralTopics());
        return;
      case 'broker-stop':
        await this.#cluster.stop(fault.broker);
        await pause(fault.downMs);
        await this.#cluster.cont(fault.broker);
        await this.#cluster.waitUntilHealthy(this.#gateway.allCentralTopics());
        return;
      case 'link-reset':
        this.#link.resetAll(fault.brokers);
        return;
      case 'link-refuse':
        await this.#link.setMode('refuse', fault.brokers);
        await this.#healAfter(fault.brokers, fault.downMs);
        return;
      case 'link-silent':
        await this.#link.setMode('silent', fault.brokers);
        await this.#healAfter(fault.brokers, fault.downMs);
        return;
      case 'link-half-open':
        this.#link.halfOpenAll(fault.brokers);
        return;
      case 'cut':
        await this.#cut(fault.api, fault.point);
    }
  }

  async #healAfter(brokers: readonly number[], downMs: number): Promise<void> {
    await pause(downMs);
    await this.#link.setMode('open', brokers);
  }

  async #cut(api: CutApi, point: CutPoint): Promise<void> {
    const started = performance.now();
    while (performance.now() - started < CUT_WITHIN_MS) {
      const cut = this.#link.cut(api, point);
      // A producer is initialised on a new connection only.
      if (api === 'InitProducerId') this.#link.resetAll();
      if ((await within(cut.done, REARM_MS)) !== undefined) return;
      cut.cancel();
    }
    throw new Error(`no ${api} came within ${CUT_WITHIN_MS} ms`);
  }
}

export function tableOf(done: readonly DoneFault[]): string {
  const counts = new Map<string, number>();
  for (const { kind } of done) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts]
    .toSorted(([one], [other]) => one.localeCompare(other))
    .map(([kind, count]) => `  ${kind.padEnd(34)} ${String(count).padStart(4)}`)
    .join('\n');
}
