import type { Drain, TopicClass } from '../../../src/mirror/selection.ts';
import type { KafkaCluster } from '../kafka/cluster.ts';
import { DEDUP } from './device.ts';
import type { Listener } from '../kafka/state.ts';

/** Topics of the system tests' gateways, with their partitions. */
export const GATEWAY_TOPICS: ReadonlyMap<string, number> = new Map([
  ['telemetry', 6],
  ['alarms', 2],
]);
const CENTRAL_PARTITIONS = 4;

/** The mirror that every gateway has. */
export const MIRROR = 'central';

/** How a mirror sends; the product's defaults where absent. */
export interface MirrorVariant {
  readonly compression?: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
  /** Records of one transaction at most. */
  readonly batchRecords?: number;
  /** How it drains telemetry; alarms go before it, in the order of the log. */
  readonly drain?: Drain;
  readonly telemetryClass?: TopicClass;
  /** Its way is metered: what is said of telemetry then. */
  readonly sample?: string;
}

export interface GatewayMirror extends MirrorVariant {
  readonly name: string;
  /** Before the names of its topics at the far side, and behind the gateway's in all others. */
  readonly prefix: string;
}

export interface GatewaySetting {
  /** Name of the gateway; part of all its names in Kafka. */
  readonly name: string;
  readonly cluster: KafkaCluster;
  readonly listener: Listener;
  readonly mirrors: readonly GatewayMirror[];
  /** Time-outs as short as a hunt wants them, which has many silent links to wait for. */
  readonly impatient: boolean;
  /** The way of a mirror that samples is metered. */
  readonly isMetered: boolean;
  /** Devices number their messages. */
  readonly numbered: boolean;
}

/** What a mirror is called at the far side. */
export function namesOf(
  gateway: string,
  { prefix }: GatewayMirror,
): {
  readonly id: string;
  readonly positionsTopic: string;
  readonly topic: (local: string) => string;
} {
  return {
    id: `gatelog.${gateway}${prefix}`,
    positionsTopic: `${gateway}${prefix}.positions`,
    topic: (local) => `${gateway}${prefix}.${local}`,
  };
}

function mirrorText(setting: GatewaySetting, mirror: GatewayMirror, link: string): string {
  const { cluster, listener, name, impatient } = setting;
  const { gw } = cluster.state.users;
  const { compression = 'zstd', batchRecords, drain = 'backlog-first' } = mirror;
  const { telemetryClass = 'normal', sample } = mirror;
  const sampled = sample === undefined ? '' : `, sample: ${sample}`;
  const way = setting.isMetered ? '[lo]' : '[none0]';
  const metered = `{ interfaces: ${way}, networkManager: false, then: sample }`;
  const rules = sample === undefined ? link : `    link: { metered: ${metered} }\n`;
  const { id, positionsTopic, topic } = namesOf(name, mirror);
  const batch = batchRecords === undefined ? '' : `    batch: { records: ${batchRecords} }\n`;
  const brokers = cluster.bootstrap(listener).map((address) => `"${address}"`);
  const times = impatient ? '      connectTimeout: 2s\n      requestTimeout: 5s\n' : '';
  return `  ${mirror.name}:
    topics:
      - { match: alarms, class: alarm }
      - { match: telemetry, class: ${telemetryClass}, drain: ${drain}${sampled} }
      - "*"
${batch}${rules}    kafka:
      compression: ${compression}
      brokers: [ ${brokers.join(', ')} ]
      topic: "${topic('{topic}')}"
      create: { partitions: ${CENTRAL_PARTITIONS}, replicationFactor: 3 }
      positionsTopic: ${positionsTopic}
      transactionalId: ${id}
      group: ${id}
${times}      transactionTimeout: 10s
      sasl: { mechanism: SCRAM-SHA-512, username: ${gw.name}, password: ${gw.password} }
`;
}

/** `linkOf`: the lines of a mirror's link policy, or none. */
export function gatewayConfig(
  setting: GatewaySetting,
  data: string,
  port: number,
  linkOf: () => string,
): string {
  const topics = [...GATEWAY_TOPICS].map(
    ([topic, count]) => `  ${topic}: { partitions: ${count} }`,
  );
  const mirrors = setting.mirrors.map((mirror) => mirrorText(setting, mirror, linkOf()));
  return `gateway: ${setting.name}
data: ${data}
log: { level: debug, format: json }
mqtt:
  listen: [ "mqtt://127.0.0.1:${port}" ]
${setting.numbered ? `  dedup: ${DEDUP}\n` : ''}topics:
${topics.join('\n')}
routes:
  - { match: "alarms/#", topic: alarms }
  - { match: "#", topic: telemetry }
mirrors:
${mirrors.join('')}`;
}
