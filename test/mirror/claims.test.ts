import { expect, test } from 'vitest';
import { Claims } from '../../src/mirror/claims.ts';
import { clusterClaims } from '../../src/mirror/kafka/cluster-claims.ts';
import type { KafkaUpstreamOptions } from '../../src/mirror/kafka/options.ts';
import { streamId } from '../../src/record.ts';

const STREAMS = [{ stream: streamId(0), topic: 'telemetry', partition: 0 }];

function claimsOf(
  options: Partial<KafkaUpstreamOptions>,
  clusterId = 'one',
): ReturnType<typeof clusterClaims> {
  return clusterClaims(clusterId, STREAMS, { gateway: 'gw', ...options } as KafkaUpstreamOptions);
}

const refused = (claims: Claims, wanted: ReturnType<typeof clusterClaims>): string => {
  try {
    claims.take('b', wanted);
    return '';
  } catch (error) {
    return String(error);
  }
};

test('two mirrors that reach one cluster under two addresses: the second is refused, and told why', () => {
  const claims = new Claims();
  claims.take('a', claimsOf({}));
  claims.take('a', claimsOf({})); // Its next session.
  expect(refused(claims, claimsOf({}))).toBe(
    'GatelogError: mirror "a" of this gateway sends to the same far side under another address: both use the transactionalId gatelog.gw of cluster one and would throw each other out; set transactionalId for one of them, or send to the cluster with one mirror',
  );
  const others = { transactionalId: 'x', group: 'x' };
  expect(refused(claims, claimsOf({ transactionalId: 'x' }))).toContain('both use the group');
  expect(refused(claims, claimsOf(others))).toContain('both fill topic telemetry of cluster one');
  expect(refused(claims, claimsOf({ delivery: 'at-least-once' }))).toContain('both fill topic');
  expect(refused(claims, claimsOf({ ...others, topicTemplate: 'b.{topic}' }))).toBe('');
});

test('another cluster is another matter', () => {
  const claims = new Claims();
  claims.take('a', claimsOf({}));
  expect(refused(claims, claimsOf({}, 'two'))).toBe('');
});
