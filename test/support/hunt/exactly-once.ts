import { setTimeout as sleep } from 'node:timers/promises';
import { mkdirSync, readFileSync } from 'node:fs';
import { type Random, seededRandom } from '../../../src/random.ts';
import { DRAINS, type TopicClass } from '../../../src/mirror/selection.ts';
import type { MirrorStatus } from '../../../src/mirror/status.ts';
import type { KafkaCluster } from '../kafka/cluster.ts';
import type { KafkaLink } from '../kafka/link.ts';
import { runGatelog } from './agent-process.ts';
import type { DeviceProfile } from './device.ts';
import { describeFault, planDeviceFaults, planFaults, planPowerCuts } from './faults.ts';
import { Fleet } from './fleet.ts';
import { Gateway } from './gateway.ts';
import { GATEWAY_TOPICS, type GatewayMirror, type MirrorVariant } from './gateway-config.ts';
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
  /** Two mirrors at once, with different orders and classes, on links that cost, each start others. */
  readonly extended: boolean;
  /**
   * Devices that send each message once, at QoS 2 or with numbers; kills and power cuts of the gateway,
   * and faults of its links: what was sent, the log and the centre hold the same messages, each once.
   */
  readonly fromDevice: boolean;
  readonly cluster: KafkaCluster;
  readonly link: KafkaLink;
}

/** What one mirror brought to Kafka. */
export interface MirrorFound {
  readonly name: string;
  readonly records: number;
  /** Seen by read_uncommitted only: records of aborted transactions. */
  readonly abortedRecords: number;
  /** Telemetry that came after later records, as its drain has it. */
  readonly reordered: number;
  readonly verify: unknown;
}

export interface ExactlyOnceResult {
  readonly faults: number;
  /** Counts by kind, as text. */
  readonly table: string;
  readonly sent: number;
  readonly acked: number;
  readonly logRecords: number;
  readonly mirrors: readonly MirrorFound[];
  readonly resendCopies: number;
  /** How often a link policy began to hold something back. */
  readonly holds: number;
  readonly problems: readonly string[];
}

const DEVICES = 16;
/** By seed, so that every run of the suite tries another one. */
const RATES_PER_SECOND = [150, 300, 600] as const;
const COMPRESSIONS = ['zstd', 'lz4', 'none', 'snappy', 'gzip'] as const;
const SMALL_BATCH = 40;
const BATCHES = [undefined, SMALL_BATCH, 1000] as const;
const BACKLOG_RECORDS = 1500;
const CATCH_UP_MS = 240_000;
const MARKERS_WITHIN_MS = 30_000;
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

/** QoS 2 with 3.1.1; with 5 that, or numbers at QoS 1 and 2. */
function onceProfileOf(index: number, random: Random): DeviceProfile {
  const profile = profileOf(index, random);
  if (index % 2 === 0) return { ...profile, nextQos: () => 2 };
  return {
    ...profile,
    version: 5,
    numbered: true,
    nextQos: (chance) => (chance.next() < 0.2 ? 2 : 1),
  };
}

/** Small batches carry little: most of the run would be waiting for them. */
function rateOf(seed: number): number {
  const [slowest] = RATES_PER_SECOND;
  const batches = [variantOf(seed), secondOf(seed)].map(({ batchRecords }) => batchRecords);
  if (batches.includes(SMALL_BATCH)) return slowest;
  return RATES_PER_SECOND[Math.floor(seed / 3) % RATES_PER_SECOND.length] ?? slowest;
}

function variantOf(seed: number): MirrorVariant {
  const compression = COMPRESSIONS[seed % COMPRESSIONS.length] ?? 'zstd';
  const batchRecords = BATCHES[seed % BATCHES.length];
  const drain = DRAINS[Math.floor(seed / 5) % DRAINS.length] ?? 'backlog-first';
  return { compression, drain, ...(batchRecords === undefined ? {} : { batchRecords }) };
}

const TELEMETRY_CLASSES: readonly TopicClass[] = ['alarm', 'high', 'normal', 'bulk'];

/** In another order than the first. */
function secondOf(seed: number): MirrorVariant {
  const telemetryClass = TELEMETRY_CLASSES[seed % TELEMETRY_CLASSES.length] ?? 'normal';
  return { ...variantOf(seed + DRAINS.length * 2 + 1), telemetryClass };
}

export async function huntExactlyOnce(options: ExactlyOnceOptions): Promise<ExactlyOnceResult> {
  mkdirSync(options.folder, { recursive: true });
  const { folder, cluster, seed } = options;
  const name = `hunt-${seed.toString(36)}-${process.pid}`;
  const variant = variantOf(seed);
  const more = options.extended ? { second: secondOf(seed) } : {};
  console.log('  variant:', variant, more);
  const { powerCuts, fromDevice } = options;
  const cuts = powerCuts || fromDevice ? { powerCuts: seededRandom(seed + 2) } : {};
  // A silent link is found by time alone; power cuts leave the links as they are.
  const how = { listener: 'proxied', impatient: !powerCuts, numbered: fromDevice } as const;
  const gateway = await Gateway.make({
    folder,
    name,
    cluster,
    ...how,
    ...variant,
    ...more,
    ...cuts,
  });
  await gateway.grant(cluster);
  const hunt = new ExactlyOnceHunt(options, gateway);
  try {
    return await hunt.run();
  } finally {
    await hunt.end();
  }
}

function planOf({ powerCuts, fromDevice }: ExactlyOnceOptions): typeof planFaults {
  if (fromDevice) return planDeviceFaults;
  return powerCuts ? planPowerCuts : planFaults;
}

class ExactlyOnceHunt {
  readonly #options: ExactlyOnceOptions;
  readonly #gateway: Gateway;
  readonly #random: Random;
  readonly #ledger = new Ledger();
  readonly #fleet: Fleet;

  constructor(options: ExactlyOnceOptions, gateway: Gateway) {
    this.#options = options;
    this.#gateway = gateway;
    this.#random = seededRandom(options.seed);
    this.#fleet = new Fleet({
      port: gateway.port,
      devices: DEVICES,
      ratePerSecond: rateOf(options.seed),
      // Of their own: how far devices get must not change the plan of faults.
      random: seededRandom(options.seed + 1),
      ledger: this.#ledger,
      profile: options.fromDevice ? onceProfileOf : profileOf,
    });
  }

  async run(): Promise<ExactlyOnceResult> {
    const { cluster, link, faults } = this.#options;
    const plan = planOf(this.#options)(this.#random, faults);
    for (const { lane, afterMs, fault } of plan) {
      console.log(`  plan: ${lane} after ${afterMs} ms: ${describeFault(fault)}`);
    }
    await this.#gateway.start();
    this.#fleet.start();
    await this.#fleet.acknowledged(100, 60_000);
    await this.#firstRecords();
    if (this.#gateway.mirrors.some(({ drain }) => isUnordered(drain))) await this.#backlog();
    if (this.#options.extended) this.#gateway.linkRules = seededRandom(this.#options.seed + 3);
    const runner = new FaultRunner(cluster, this.#gateway, link);
    await runner.run(plan);
    await cluster.restore(this.#gateway.allCentralTopics());
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
    const oracles = await this.#readLog(log);
    const problems = [...log.problems];
    const mirrors: MirrorFound[] = [];
    for (const [mirror, oracle] of oracles) {
      mirrors.push(await this.#judgeMirror(mirror, oracle, runner.done.length, problems));
    }
    const holds = countOf('"event":"mirror.hold"', this.#gateway.logFile);
    if (this.#options.extended && holds === 0) problems.push('no link policy held anything back');
    return {
      faults: runner.done.length,
      table: tableOf(runner.done),
      sent: this.#ledger.sentCount,
      acked: this.#ledger.ackedCount,
      logRecords: log.recordsRead,
      mirrors,
      resendCopies: this.#ledger.resendCopies(),
      holds,
      problems,
    };
  }

  async #judgeMirror(
    mirror: GatewayMirror,
    oracle: CentralOracle,
    faults: number,
    problems: string[],
  ): Promise<MirrorFound> {
    const { name, drain } = mirror;
    await this.#untilMarked(mirror, oracle.expectedRecords);
    const committed = await this.#readCentral('read_committed', mirror, oracle);
    const uncommitted = await this.#readCentral('read_uncommitted', mirror);
    oracle.finish();
    problems.push(...oracle.problems.map((problem) => `${name}: ${problem}`));
    // Of a short run a small backlog may be through before anything new comes.
    if (isUnordered(drain) && faults >= LONG_RUN_FAULTS && oracle.reordered === 0) {
      problems.push(`${name}: a backlog was made, and everything went in order`);
    }
    const verify = await this.#verify(mirror, committed, problems);
    const { centralRecords: records, reordered } = oracle;
    return { name, records, abortedRecords: uncommitted - committed, reordered, verify };
  }

  async #readLog(log: LogOracle): Promise<ReadonlyMap<GatewayMirror, CentralOracle>> {
    const store = await openFolder(this.#gateway.data);
    const { incarnation } = store.identity;
    const gateway = this.#gateway;
    const oracles = new Map(
      gateway.mirrors.map((mirror) => [
        mirror,
        new CentralOracle(
          gateway.name,
          incarnation,
          (topic) => gateway.centralTopic(topic, mirror),
          (topic) => topic === 'telemetry' && isUnordered(mirror.drain),
        ),
      ]),
    );
    try {
      await readStore(
        store,
        {
          record: (record) => {
            log.record(record);
            for (const oracle of oracles.values()) oracle.expect(record);
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
    return oracles;
  }

  /**
   * The end of a transaction is answered before its markers stand in each partition (KIP-98), and until then
   * committed readers stop short of it. What is lost is still lost after the wait.
   */
  async #untilMarked(mirror: GatewayMirror, records: number): Promise<void> {
    const endMs = performance.now() + MARKERS_WITHIN_MS;
    while ((await this.#readCentral('read_committed', mirror)) < records) {
      if (performance.now() > endMs) return;
      await sleep(500);
    }
  }

  async #readCentral(
    isolation: 'read_committed' | 'read_uncommitted',
    mirror: GatewayMirror,
    oracle?: CentralOracle,
  ): Promise<number> {
    const { cluster, folder } = this.#options;
    const bootstrap = cluster.bootstrap('plaintext');
    let records = 0;
    for (const topic of this.#gateway.centralTopics(mirror)) {
      records += await readByKcat({ bootstrap, topic, isolation, folder }, (record) =>
        oracle?.central(record),
      );
    }
    return records;
  }

  /** The product's own auditor must come to the same result as the outside view. */
  async #verify(mirror: GatewayMirror, records: number, problems: string[]): Promise<unknown> {
    const brokers = this.#options.cluster.bootstrap('plaintext').join(',');
    const topics = this.#gateway.centralTopics(mirror).flatMap((topic) => ['--topic', topic]);
    const order = isUnordered(mirror.drain) ? ['--unordered', 'telemetry'] : [];
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

function countOf(text: string, file: string): number {
  return readFileSync(file, 'utf8').split(text).length - 1;
}

function isUnordered(drain: GatewayMirror['drain']): boolean {
  return drain !== undefined && drain !== 'backlog-first';
}
