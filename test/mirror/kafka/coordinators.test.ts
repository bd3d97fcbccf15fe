import { expect, test } from 'vitest';
import type { Cluster, Coordinator } from '../../../src/mirror/kafka/cluster.ts';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import { coordinatorName, Coordinators } from '../../../src/mirror/kafka/coordinators.ts';
import { KnownCluster } from '../../../src/mirror/kafka/known-cluster.ts';

/** Where coordinators are looked for, and what is remembered of them. */
const at = (port: number, code: number = CODE.none): Coordinator => ({
  code,
  address: { host: 'broker', port },
});

function coordinators(early: Coordinator | undefined, ...later: Coordinator[]) {
  const asked: string[] = [];
  const cluster = {
    coordinator: (of: string, key: string) => {
      asked.push(`${of} ${key}`);
      return Promise.resolve(later.shift() ?? at(0, CODE.notCoordinator));
    },
  } as unknown as Cluster;
  const known = new KnownCluster();
  const first = early === undefined ? [] : [[coordinatorName('group', 'g'), early] as const];
  const given = new Map(first.map(([name, one]) => [name, Promise.resolve(one)]));
  return { found: new Coordinators(cluster, known, given), known, asked };
}

test('what was asked early is not asked again, and is remembered for the next session', async () => {
  const { found, known, asked } = coordinators(at(1));
  expect(await found.find('group', 'g')).toEqual(at(1));
  expect(await found.find('group', 'g')).toEqual(at(1));
  expect(asked).toEqual([]);
  expect([...known.coordinators]).toEqual([['group g', at(1).address]]);
});

test('an early answer that names nobody is asked again, once for all who wait', async () => {
  const { found, asked } = coordinators(at(0, CODE.coordinatorNotAvailable), at(2));
  const both = await Promise.all([found.find('group', 'g'), found.find('group', 'g')]);
  expect(both).toEqual([at(2), at(2)]);
  expect(asked).toEqual(['group g']);
});

test('one that moved is looked for anew, and a refusal is not remembered', async () => {
  const { found, known, asked } = coordinators(at(1), at(0, CODE.groupAuthorizationFailed), at(3));
  await found.find('group', 'g');
  found.moved('group', 'g');
  expect(await found.find('group', 'g')).toMatchObject({ code: CODE.groupAuthorizationFailed });
  expect(await found.find('group', 'g')).toEqual(at(3));
  expect(asked).toEqual(['group g', 'group g']);
  expect(known.coordinators.get('group g')).toEqual(at(3).address);
});
