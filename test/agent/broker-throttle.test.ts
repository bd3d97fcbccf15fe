import { expect, test } from 'vitest';
import { type Throttled, Throttle } from '../../src/agent/broker-throttle.ts';

class Member implements Throttled {
  readonly calls: string[] = [];
  hold(): void {
    this.calls.push('hold');
  }
  release(): void {
    this.calls.push('release');
  }
  touch(): void {
    this.calls.push('touch');
  }
}

test('everybody is held at the bound, kept alive meanwhile, and released when relieved', async () => {
  let congested = false;
  let relieve = (): void => {};
  const tasks: (() => void)[] = [];
  let cancelled = 0;
  const throttle = new Throttle(
    {
      congested: () => congested,
      relieved: () =>
        new Promise((resolve) => {
          relieve = resolve;
        }),
    },
    {
      after: (_delayMs, task) => {
        tasks.push(task);
        return { cancel: () => cancelled++ };
      },
    },
  );
  const [one, two, gone] = [new Member(), new Member(), new Member()];
  throttle.join(one);
  throttle.join(gone);
  throttle.check();
  expect(one.calls).toEqual([]);
  congested = true;
  throttle.check();
  throttle.check();
  throttle.leave(gone);
  throttle.join(two); // who comes late is held too
  tasks.shift()?.();
  tasks.shift()?.();
  expect(one.calls).toEqual(['hold', 'touch', 'touch']);
  expect(two.calls).toEqual(['hold', 'touch', 'touch']);
  expect(gone.calls).toEqual(['hold']);
  congested = false;
  relieve();
  await expect.poll(() => one.calls.at(-1)).toBe('release');
  expect(two.calls.at(-1)).toBe('release');
  expect(gone.calls).toEqual(['hold']);
  expect(cancelled).toBe(1);
});
