import { expect, test } from 'vitest';
import { GatelogError } from '../../../src/errors.ts';
import { growth } from '../../../src/mirror/kafka/growth.ts';
import { KnownCluster } from '../../../src/mirror/kafka/known-cluster.ts';
import type { Lane } from '../../../src/mirror/kafka/lane.ts';
import { Ring } from '../../../src/mirror/kafka/ring.ts';
import { MIRROR_LIMITS } from '../../../src/mirror-limits.ts';
import type { Logger } from '../../../src/telemetry.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** One more transactional id, when the far side does not give it at once. */
function laneOf(index: number, initialise: () => Promise<void>): Lane {
  const lane = {
    index,
    transactionalId: `gw#${index}`,
    initialise,
    commit: () => Promise.resolve(),
  };
  return lane as unknown as Lane;
}

function rig(failure: () => GatelogError | undefined) {
  const clock = new SimClock();
  const warned: string[] = [];
  const tried: number[] = [];
  const known = new KnownCluster();
  const warn = (_fields: unknown, text: string): void => void warned.push(text);
  const logger = { warn } as unknown as Logger;
  const session = (): Ring => {
    const first = laneOf(1, () => Promise.resolve());
    const grown = (index: number): Lane =>
      laneOf(index, () => {
        tried.push(index);
        const error = failure();
        return error === undefined ? Promise.resolve() : Promise.reject(error);
      });
    const parts = { laneOf: grown, most: 3, clock, ...growth(known, 'gw', logger) };
    return new Ring(parts, { first, existing: [], unproven: [] });
  };
  const passes = async (ms: number): Promise<void> => {
    const slept = clock.sleep(ms);
    await clock.advance(ms);
    await slept;
  };
  return { session, passes, warned, tried, known };
}

/** A batch waits while another is under way, so one more id is wanted. */
async function backlog(ring: Ring): Promise<void> {
  const first = await ring.take();
  const second = ring.take();
  await new Promise((resolve) => setImmediate(resolve));
  await ring.commit(first);
  ring.give(first);
  ring.give(await second);
}

test('an id that could not be made for the moment is tried again after a while', async () => {
  let failure: GatelogError | undefined = new GatelogError('UPSTREAM_UNCERTAIN', 'loading');
  const { session, passes, warned, tried, known } = rig(() => failure);
  const ring = session();
  await backlog(ring);
  await backlog(ring);
  expect(tried).toEqual([2]);
  failure = undefined;
  await passes(MIRROR_LIMITS.kafkaLaneRetryMs);
  await backlog(ring);
  expect(tried).toEqual([2, 2]);
  expect(known.lanes).toEqual([2]);
  expect(ring.isSingle).toBe(false);
  expect(warned).toEqual([]);
});

test('a missing right is asked for once a session, and told once', async () => {
  let failure: GatelogError | undefined = new GatelogError('UPSTREAM_UNAUTHORIZED', 'no right');
  const { session, passes, warned, tried } = rig(() => failure);
  for (let count = 1; count <= 3; count++) {
    const ring = session();
    await backlog(ring);
    await passes(MIRROR_LIMITS.kafkaLaneRetryMs);
    await backlog(ring);
    expect(ring.isSingle).toBe(true);
    expect(tried).toHaveLength(count);
  }
  expect(warned).toEqual([expect.stringContaining("ids with the prefix 'gw#'")]);
  // Granted, and taken back: that is news.
  failure = undefined;
  await backlog(session());
  failure = new GatelogError('UPSTREAM_UNAUTHORIZED', 'no right');
  await backlog(session());
  expect(warned).toHaveLength(2);
});
