import { expect, test } from 'vitest';
import { lookAtNetwork, type Network, NetworkWatch } from '../../src/mirror/network-watch.ts';
import { SimClock } from '../support/sim-clock.ts';

const SECOND = 1000;

function watching(): {
  clock: SimClock;
  show: (network: Network) => void;
  heard: string[];
  looks: () => number;
  watch: NetworkWatch;
} {
  const clock = new SimClock();
  let now: Network = { isUp: true, signature: 'lte' };
  let looks = 0;
  const watch = new NetworkWatch(clock, () => {
    looks++;
    return Promise.resolve(now);
  });
  const show = (network: Network): void => {
    now = network;
  };
  return { clock, show, heard: [], looks: () => looks, watch };
}

test('a way that comes or changes is told once, within a second; one that only goes is not', async () => {
  const { clock, show, heard, watch } = watching();
  watch.subscribe(() => void heard.push('a'));
  await clock.advance(5 * SECOND);
  expect(heard).toEqual([]);
  show({ isUp: true, signature: 'wifi' });
  await clock.advance(SECOND);
  expect(heard).toEqual(['a']);
  show({ isUp: false, signature: '' });
  await clock.advance(10 * SECOND);
  expect(heard).toEqual(['a']);
  show({ isUp: true, signature: 'wifi' });
  await clock.advance(SECOND);
  expect(heard).toEqual(['a', 'a']);
});

test('everybody who listens is told, and who has left is not; without anybody nothing looks', async () => {
  const { clock, show, heard, looks, watch } = watching();
  const leave = watch.subscribe(() => void heard.push('a'));
  const leaveToo = watch.subscribe(() => void heard.push('b'));
  await clock.advance(SECOND);
  show({ isUp: true, signature: 'wifi' });
  await clock.advance(SECOND);
  leave();
  show({ isUp: true, signature: 'lte' });
  await clock.advance(SECOND);
  expect(heard).toEqual(['a', 'b', 'b']);
  leaveToo();
  const before = looks();
  await clock.advance(10 * SECOND);
  expect(looks()).toBeLessThanOrEqual(before + 1);
  // What changed while nobody listened is no news to who comes later.
  show({ isUp: true, signature: 'cable' });
  watch.subscribe(() => void heard.push('c'));
  await clock.advance(5 * SECOND);
  expect(heard).toEqual(['a', 'b', 'b']);
});

test('the look at this machine is the same from one moment to the next', async () => {
  const first = await lookAtNetwork();
  expect(await lookAtNetwork()).toEqual(first);
});
