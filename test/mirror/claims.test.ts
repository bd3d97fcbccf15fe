import { expect, test } from 'vitest';
import { Claims } from '../../src/mirror/claims.ts';
import { clusterClaims } from '../../src/mirror/kafka/cluster-claims.ts';
import { Journal } from '../../src/mirror/kafka/journal.ts';
import type { KafkaUpstreamOptions } from '../../src/mirror/kafka/options.ts';
import { requireRightCluster } from '../../src/mirror/kafka/right-cluster.ts';
import { streamId } from '../../src/record.ts';
import { memorySpace } from './policy/memory-space.ts';

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

test('a mirror that is led to a cluster that is not its own claims nothing there, and changes nothing', async () => {
  const claims = new Claims();
  const space = memorySpace();
  const reaches = (id: string, clusterId?: string): Promise<void> => {
    const claim = claims.take.bind(claims, 'a');
    return requireRightCluster(id, claimsOf({}, id), { clusterId, claim }, new Journal(space));
  };
  await reaches('one');
  await expect(reaches('two')).rejects.toMatchObject({ code: 'UPSTREAM_MISMATCH' });
  await expect(reaches('two', 'one')).rejects.toMatchObject({ code: 'UPSTREAM_MISMATCH' });
  expect(refused(claims, claimsOf({}, 'two'))).toBe('');
  expect(refused(claims, claimsOf({}, 'one'))).toContain('mirror "a"');
  // Nor does it move on to one that another mirror holds.
  await expect(reaches('two', 'two')).rejects.toMatchObject({ code: 'UPSTREAM_MISMATCH' });
  expect(await new Journal(space).clusterId()).toBe('one');
  await reaches('three', 'three');
  expect(await new Journal(space).clusterId()).toBe('three');
});

test('what a mirror held that has ended another may have', () => {
  const claims = new Claims();
  const claim = { key: 'kafka c topic t', conflict: 'both' };
  claims.take('one', [claim]);
  expect(() => claims.take('two', [claim])).toThrow(/mirror "one"/u);
  claims.release('one');
  claims.take('two', [claim]);
  expect(() => claims.take('one', [claim])).toThrow(/mirror "two"/u);
});
