import { clientIdOf } from '../mirror/mqtt/client-id.ts';
import { topicMatcher } from '../mirror/selection.ts';
import { gatewayOf } from './config-forms.ts';
import type { ParsedConfig } from './config-schema.ts';
import type { KafkaUpstreamConfig, MirrorConfig, MqttUpstreamConfig } from './config-types.ts';

/** What two mirrors must not share. That two addresses are one far side cannot be known here. */
export type Say = (at: readonly (string | number)[], message: string) => void;

export function checkPairs(config: ParsedConfig, error: Say, warn: Say): void {
  const mirrors = Object.entries(config.mirrors);
  for (const [index, [name, mirror]] of mirrors.entries()) {
    for (const other of mirrors.slice(0, index)) {
      checkPair(config, other, [name, mirror], error, warn);
    }
  }
}

type Named = readonly [name: string, mirror: MirrorConfig];

function checkPair(
  config: ParsedConfig,
  [otherName, otherMirror]: Named,
  [name, mirror]: Named,
  error: Say,
  warn: Say,
): void {
  const other = `mirror ${JSON.stringify(otherName)}`;
  const shared = sharedTopics(config, otherMirror, mirror);
  const [one, two] = [otherMirror.upstream, mirror.upstream];
  if (one.kind === 'kafka' && two.kind === 'kafka') {
    const say = {
      error: (option: string, message: string) =>
        error(['mirrors', name, 'kafka', option], message),
      warn: (option: string, message: string) => warn(['mirrors', name, 'kafka', option], message),
    };
    checkKafkaPair(config, [one, two], { other, shared }, say);
  }
  if (one.kind === 'mqtt' && two.kind === 'mqtt') {
    const say = {
      error: (option: string, message: string) => error(['mirrors', name, 'mqtt', option], message),
      warn: (option: string, message: string) => warn(['mirrors', name, 'mqtt', option], message),
    };
    checkMqttPair(config, [one, two], { other, shared }, say);
  }
}

/** Topics that both send. */
function sharedTopics(config: ParsedConfig, one: MirrorConfig, two: MirrorConfig): string[] {
  const topics = [...Object.keys(config.topics), ...config.routes.map(({ topic }) => topic)];
  const [isOne, isTwo] = [topicMatcher(one.topics), topicMatcher(two.topics)];
  return [...new Set(topics)].filter((topic) => isOne(topic) && isTwo(topic));
}

interface Both {
  /** For people. */
  readonly other: string;
  readonly shared: readonly string[];
}

interface Tell {
  readonly error: (option: string, message: string) => void;
  readonly warn: (option: string, message: string) => void;
}

/** Two mirrors with one transactional id would fence each other, with one group mix positions. */
function checkKafkaPair(
  config: ParsedConfig,
  [one, two]: readonly [KafkaUpstreamConfig, KafkaUpstreamConfig],
  { other, shared }: Both,
  { error, warn }: Tell,
): void {
  const isOneCluster = two.brokers.some((broker) => one.brokers.includes(broker));
  const ownName = `gatelog.${gatewayOf(config)}`;
  const areExact = [one, two].every(({ delivery }) => delivery === 'exactly-once');
  for (const option of ['transactionalId', 'group'] as const) {
    if (!areExact || (one[option] ?? ownName) !== (two[option] ?? ownName)) continue;
    if (isOneCluster) error(option, `must differ from that of ${other}: set it for one of them`);
    else warn(option, `is that of ${other} too, which works only if these are two clusters`);
  }
  const central = ({ topic: template }: KafkaUpstreamConfig, topic: string): string =>
    template.replaceAll('{topic}', topic).replaceAll('{gateway}', gatewayOf(config));
  const twice = shared.find((topic) => central(one, topic) === central(two, topic));
  if (!isOneCluster || twice === undefined) return;
  error(
    'topic',
    `${other} sends ${twice} to the same topic of the same cluster, where every record would be twice: leave it out of one of them, or give one another topic template`,
  );
}

/** An MQTT broker ends the older of two connections with one client id. */
function checkMqttPair(
  config: ParsedConfig,
  [one, two]: readonly [MqttUpstreamConfig, MqttUpstreamConfig],
  { other, shared }: Both,
  { error, warn }: Tell,
): void {
  const gateway = gatewayOf(config);
  const isOneBroker = new URL(one.url).host === new URL(two.url).host;
  if (clientIdOf({ ...one, gateway }) === clientIdOf({ ...two, gateway })) {
    if (isOneBroker) error('clientId', `must differ from that of ${other}: set it for one of them`);
    else warn('clientId', `is that of ${other} too, which works only if these are two brokers`);
  }
  const [twice] = shared;
  const isSame = one.prefix === two.prefix && one.topic === two.topic;
  if (!isOneBroker || !isSame || twice === undefined) return;
  warn(
    'topic',
    `${other} sends ${twice} to the same broker under the same names: unless that is a central gatelog, every record arrives twice`,
  );
}
