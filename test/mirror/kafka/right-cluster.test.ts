import { expect, test } from 'vitest';
import { requireRightCluster } from '../../../src/mirror/kafka/right-cluster.ts';

test('a cluster that is not the configured one: what it is, and what to do', async () => {
  const journal = {
    clusterId: () => Promise.resolve(undefined),
    rememberCluster: () => Promise.reject(new Error('it is not ours')),
  };
  const asked = requireRightCluster('abc', [], { clusterId: 'wrongid' }, journal);
  await expect(asked).rejects.toMatchObject({ code: 'UPSTREAM_MISMATCH' });
  await expect(asked).rejects.toThrow(
    /reached is 'abc', but 'clusterId' asks for 'wrongid'.*set 'clusterId: abc'; else mend 'brokers'/u,
  );
});
