import type { Config, MirrorConfig } from '../agent/config-types.ts';
import { kafkaConnection } from '../agent/mirrors.ts';
import { METRICS } from '../health.ts';
import { GAPS } from '../loss.ts';
import { centralTopicName } from '../mirror/kafka/layout.ts';
import { kafkaNames } from '../mirror/kafka/options.ts';
import { topicMatcher } from '../mirror/selection.ts';
import type { WayStep } from '../mirror/way.ts';
import type { Clock } from '../time.ts';

/** A mirror's way to its far side, walked as the mirror would. The client is loaded when it is called. */
export async function* upstreamWay(
  config: Config,
  { upstream, topics }: MirrorConfig,
  clock: Clock,
): AsyncGenerator<WayStep, void, void> {
  const { gateway } = config;
  if (upstream.kind === 'kafka') {
    const { kafkaWay } = await import('../mirror/kafka/way.ts');
    const { delivery, positionsTopic, create, clusterId, transactionalId, group } = upstream;
    yield* kafkaWay({
      ...kafkaConnection(upstream),
      delivery,
      topics: topicsOf(config)
        .filter(topicMatcher(topics))
        .map((topic) => centralTopicName(upstream.topic, topic, gateway)),
      positionsTopic,
      create,
      clusterId,
      ...kafkaNames({ gateway, transactionalId, group }),
      clock,
    });
    return;
  }
  const { mqttWay } = await import('../mirror/mqtt/way.ts');
  const { url, clientId, username, password, tls, protocol, connectTimeoutMs } = upstream;
  yield* mqttWay({
    gateway,
    url,
    clientId,
    username,
    password,
    tls,
    protocol,
    connectTimeoutMs,
    clock,
  });
}

/** Topics of the log that there will be. */
function topicsOf({ topics, routes, metrics }: Config): string[] {
  const told = metrics.intervalMs === undefined ? [] : [METRICS];
  const names = [...Object.keys(topics), ...routes.map(({ topic }) => topic), GAPS, ...told];
  return [...new Set(names)];
}
