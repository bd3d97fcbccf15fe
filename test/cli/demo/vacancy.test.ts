import { expect, test } from 'vitest';
import { awaitVacancy } from '../../../src/cli/demo/vacancy.ts';
import { TRIAL_LIMITS } from '../../../src/trial-limits.ts';
import { systemClock, type Clock } from '../../../src/time.ts';

const folder = {
  root: '/demo',
  edge: '/demo/edge',
  central: '/demo/central',
  gateway: 'demo-000000',
  continued: true,
};

/** Time that passes by being waited for. */
function patientClock(): Clock {
  let nowMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: async (delayMs) => {
      nowMs += delayMs;
    },
  };
}

test('waits for agents that are stopping, the edge and the central', async () => {
  const asked: string[] = [];
  let left = 5;
  await awaitVacancy({
    folder,
    clock: patientClock(),
    ask: async (dataFolder) => {
      asked.push(dataFolder);
      if (left-- <= 0) throw new Error('nobody there');
    },
  });
  expect(asked.filter((name) => name === folder.edge)).toHaveLength(6);
  expect(asked.filter((name) => name === folder.central)).toHaveLength(1);
});

test('gives up on agents that stay, with what to do', async () => {
  const clock = patientClock();
  const stays = awaitVacancy({ folder, clock, ask: async () => {} });
  await expect(stays).rejects.toThrow(
    'another demo runs on /demo: end it, or choose another folder with --data DIR',
  );
  expect(clock.monotonicMs()).toBe(TRIAL_LIMITS.demoVacancyMs);
});
