import type { MirrorStream } from '../upstream.ts';
import type { Claim } from '../claims.ts';
import { centralNames } from './destinations.ts';
import { kafkaNames, type KafkaUpstreamOptions } from './options.ts';

/** What two mirrors of one gateway must not share in one cluster. */
export function clusterClaims(
  clusterId: string,
  streams: readonly MirrorStream[],
  options: KafkaUpstreamOptions,
): Claim[] {
  const { transactionalId, group } = kafkaNames(options);
  const names =
    options.delivery === 'at-least-once'
      ? []
      : ([
          ['transactionalId', transactionalId],
          ['group', group],
        ] as const);
  return [
    ...names.map(([option, id]) => ({
      key: `kafka ${clusterId} ${option} ${id}`,
      conflict: `both use the ${option} ${id} of cluster ${clusterId} and would throw each other out; set ${option} for one of them, or send to the cluster with one mirror`,
    })),
    ...centralNames(streams, options).map((topic) => ({
      key: `kafka ${clusterId} topic ${topic}`,
      conflict: `both fill topic ${topic} of cluster ${clusterId}, where every record would be twice; leave it out of one of them, or give one another topic template`,
    })),
  ];
}
