import { mkdirSync } from 'node:fs';
import { type Random, seededRandom } from '../../../src/random.ts';
import { type Drain, DRAINS } from '../../../src/mirror/selection.ts';
import type { MirrorStatus } from '../../../src/mirror/status.ts';
import type { KafkaCluster } from '../kafka/cluster.ts';
import type { KafkaLink } from '../kafka/link.ts';
import { runGatelog } from './agent-process.ts';
import type { DeviceProfile } from './device.ts';
import { describeFault, planFaults, planPowerCuts } from './faults.ts';
import { Fleet } from './fleet.ts';
import { Gateway, GATEWAY_TOPICS, type GatewayOptions } from './gateway.ts';
import { CentralOracle, readByKcat } from './kafka-oracle.ts';
import { FaultRunner, tableOf } from './lanes.ts';
import { LogOracle } from './log-oracle.ts';
import { Ledger } from './messages.ts';
import { openFolder, readStore } from './read-store.ts';
import { until } from './wait.ts';

/**
 * Exactly once, hunted: devices publish without pause while the agent, the brokers and the links
 * fail by a seeded plan. At the end the faults stop, the mirror catches up, and three parties are
 * compared record by record: what devices were promised, the log, and Kafka as read by kcat.
 */
export interface ExactlyOnceOptions {
  readonly folder: string;
  readonly seed: number;
  readonly faults: number;
  /** All faults are power cuts of the gateway. */
  readonly powerCuts: boolean;
  readonly cluster: KafkaCluster;
  readonly link: KafkaLink;
}

export interface ExactlyOnceResult {
  readonly faults: number;
  /** Counts by kind, as text. */
  readonly table: string;
  readonly sent: number;
  readonly acked: number;
  readonly logRecords: number;
  readonly centralRecords: number;
  /** Seen by read_uncommitted only: records of aborted transactions. */
  readonly abortedRecords: number;
  readonly resendCopies: number;
  /** Telemetry that came after later records, as its drain has it. */
  readonly reordered: number;
  readonly problems: readonly string[];
  readonly verify: unknown;
}

const DEVICES = 16;
/** By seed, so that every run of the suite tries another one. */
const RATES_PER_SECOND = [150, 300, 600] as const;
const COMPRESSIONS = ['zstd', 'lz4', 'none', 'snappy', 'gzip'] as const;
const BATCHES = [undefined, 40, 1000] as const;
const BACKLOG_RECORDS = 1500;
const CATCH_UP_MS = 240_000;
const LONG_RUN_FAULTS = 100;

function profileOf(index: number, random: Random): DeviceProfile {
  const id = `d${index}`;
  const branch = index % 5 === 0 ? 'alarms' : 'plant';
  return {
    id,
    version: random.next() < 0.5 ? 5 : 4,
    window: 1 + Math.floor(random.next() * 20),
    topics: [`${branch}/${id}/a`, `${branch}/${id}/b`, `plant/shared/${index % 3}`],
    nextQos: (chance) => (chance.next() < 0.15 ? 2 : 1),
    nextPayloadBytes: (chance) => {
      const point = chance.next();
      if (point < 0.002) return 50_000 + Math.floor(chance.next() * 100_000);
      if (point < 0.05) return 1000 + Math.floor(chance.next() * 8000);
      return 60 + Math.floor(chance.next() * 200);
    },
  };
}

type Variant = Pick<GatewayOptions, 'compression' | 'batchRecords' | 'drain'>;

function variantOf(seed: number): Variant {
  const compression = COMPRESSIONS[seed % COMPRESSIONS.length] ?? 'zstd';
  const batchRecords = BATCHES[seed % BATCHES.length];
  const drain = DRAINS[Math.floor(seed / 5) % DRAINS.length] ?? 'backlog-first';
  return { compression, drain, ...(batchRecords === undefined ? {} : { batchRecords }) };
}

export async function huntExactlyOnce(options: ExactlyOnceOptions): Promise<ExactlyOnceResult> {
  mkdirSync(options.folder, { recursive: true });
  const { folder, cluster, seed } = options;
  const name = `hunt-${seed.toString(36)}-${process.pid}`;
  const variant = variantOf(seed);
  console.log('  variant:', variant);
  const cuts = options.powerCuts ? { powerCuts: seededRandom(seed + 2) } : {};
  const listener = 'proxied';
  const gateway = await Gateway.make({ folder, name, cluster, listener, ...variant, ...cuts });
  await gateway.grant(cluster);
  const hunt = new ExactlyOnceHunt(options, gateway);
  try {
    return await hunt.run();
  } finally {
    await hunt.end();
  }
}

class ExactlyOnceHunt {
  readonly #options: ExactlyOnceOptions;
  readonly #gateway: Gateway;
  readonly #random: Random;
  readonly #ledger = new Ledger();
  readonly #fleet: Fleet;
  readonly #drain: Drain;

  constructor(options: ExactlyOnceOptions, gateway: Gateway) {
    this.#options = options;
    this.#gateway = gateway;
    this.#random = seededRandom(options.seed);
    this.#drain = variantOf(options.seed).drain ?? 'backlog-first';
    this.#fleet = new Fleet({
      port: gateway.port,
      devices: DEVICES,
      ratePerSecond:
        RATES_PER_SECOND[Math.floor(options.seed / 3) % RATES_PER_SECOND.length] ?? 150,
      // Of their own: how far devices get must not change the plan of faults.
      random: seededRandom(options.seed + 1),
      ledger: this.#ledger,
      profile: profileOf,
    });
  }

  async run(): Promise<ExactlyOnceResult> {
    const { cluster, link, faults, powerCuts } = this.#options;
    const plan = (powerCuts ? planPowerCuts : planFaults)(this.#random, faults);
    for (const { lane, afterMs, fault } of plan) {
      console.log(`  plan: ${lane} after ${afterMs} ms: ${describeFault(fault)}`);
    }
    await this.#gateway.start();
    this.#fleet.start();
    await this.#fleet.acknowledged(100, 60_000);
    await this.#firstRecords();
    if (this.#isUnordered('telemetry')) await this.#backlog();
    const runner = new FaultRunner(cluster, this.#gateway, link);
    await runner.run(plan);
    await cluster.restore(this.#gateway.centralTopics());
    await this.#fleet.drain(60_000);
    this.#fleet.stop();
    await this.#gateway.mirrored(CATCH_UP_MS);
    await this.#gateway.agent.stop();
    return this.#judge(runner);
  }

  async end(): Promise<void> {
    this.#fleet.stop();
    await this.#gateway.end();
  }

  /** The central topics exist and something has arrived, before anything is broken. */
  async #firstRecords(): Promise<void> {
    await until(
      async () => (await this.#gateway.mirror()).recordsSent > 0,
      60_000,
      () => 'a first record in Kafka',
    );
  }

  /** Something to send behind what is new, while the faults strike. */
  async #backlog(): Promise<void> {
    const { link } = this.#options;
    await link.setMode('refuse');
    link.resetAll();
    const behind = ({ lagRecords }: MirrorStatus): boolean => lagRecords > BACKLOG_RECORDS;
    await this.#gateway.mirrorIs(behind, 60_000);
    await link.setMode('open');
  }

  async #judge(runner: FaultRunner): Promise<ExactlyOnceResult> {
    const log = new LogOracle(this.#ledger, GATEWAY_TOPICS);
    const central = await this.#readLog(log);
    const committed = await this.#readCentral('read_committed', central);
    const uncommitted = await this.#readCentral('read_uncommitted');
    central.finish();
    const problems = [...log.problems, ...central.problems];
    // Of a short run a small backlog may be through before anything new comes.
    const mustShow = this.#isUnordered('telemetry') && runner.done.length >= LONG_RUN_FAULTS;
    if (mustShow && central.reordered === 0)
      problems.push('a backlog was made, and everything went in order');
    const verify = await this.#verify(committed, problems);
    return {
      faults: runner.done.length,
      table: tableOf(runner.done),
      sent: this.#ledger.sentCount,
      acked: this.#ledger.ackedCount,
      logRecords: central.logRecords,
      centralRecords: central.centralRecords,
      abortedRecords: uncommitted - committed,
      resendCopies: this.#ledger.resendCopies(),
      reordered: central.reordered,
      problems,
      verify,
    };
  }

  async #readLog(log: LogOracle): Promise<CentralOracle> {
    const store = await openFolder(this.#gateway.data);
    const { incarnation } = store.identity;
    const { name } = this.#gateway;
    const oracle = new CentralOracle(
      name,
      incarnation,
      (topic) => this.#gateway.centralTopic(topic),
      (topic) => this.#isUnordered(topic),
    );
    try {
      await readStore(
        store,
        {
          record: (record) => {
            log.record(record);
            oracle.expect(record);
          },
          gap: (gap, place) => log.gap(gap, place),
          ranges: (ranges) => log.ranges(ranges),
        },
        () => 0,
      );
    } finally {
      await store.close();
    }
    log.finish();
    return oracle;
  }

  #isUnordered(topic: string): boolean {
    return topic === 'telemetry' && this.#drain !== 'backlog-first';
  }

  async #readCentral(
    isolation: 'read_committed' | 'read_uncommitted',
    oracle?: CentralOracle,
  ): Promise<number> {
    const { cluster, folder } = this.#options;
    const bootstrap = cluster.bootstrap('plaintext');
    let records = 0;
    for (const topic of this.#gateway.centralTopics()) {
      records += await readByKcat({ bootstrap, topic, isolation, folder }, (record) =>
        oracle?.central(record),
      );
    }
    return records;
  }

  /** The product's own auditor must come to the same result as the outside view. */
  async #verify(records: number, problems: string[]): Promise<unknown> {
    const brokers = this.#options.cluster.bootstrap('plaintext').join(',');
    const topics = this.#gateway.centralTopics().flatMap((topic) => ['--topic', topic]);
    const order = this.#isUnordered('telemetry') ? ['--unordered', 'telemetry'] : [];
    const flags = ['--kafka', brokers, ...topics, ...order, '--json'];
    const output = await runGatelog(['verify', ...flags], 300_000);
    if (output.code !== 0) {
      problems.push(`gatelog verify: exit ${output.code}: ${output.stdout} ${output.stderr}`);
      return undefined;
    }
    const report = JSON.parse(output.stdout) as { readonly records?: number };
    if (report.records !== records) {
      problems.push(`gatelog verify saw ${report.records} records, kcat ${records}`);
    }
    return report;
  }
}
