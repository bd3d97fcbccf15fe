import type { Clock } from '../../time.ts';
import { compare, drained, endCheck, openFleet, promiseChecks } from './devices.ts';
import { between, type Exercise, type ExerciseSettings, holds } from './exercise.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import { RehearsedGateway } from './gateway.ts';
import path from 'node:path';

/** SIGKILL at random moments under load. */
export const killExercise: Exercise = {
  name: 'kill',
  title: 'kill -9 of the agent under load',
  share: 0.2,
  run: async (settings) => {
    const { folder, clock, random, signal, forMs } = settings;
    const gateway = await RehearsedGateway.open(settings, {
      name: 'edge',
      data: path.join(folder, 'data'),
    });
    const fleet = openFleet(settings, gateway.port);
    let late = 0;
    let slowestMs = 0;
    try {
      if (!(await gateway.ready())) late++;
      fleet.start();
      const untilMs = clock.monotonicMs() + forMs;
      while (clock.monotonicMs() < untilMs && !signal.aborted) {
        await clock.sleep(between(random, 50, 900), signal);
        const before = fleet.acknowledged;
        gateway.kill();
        const tookMs = await timed(clock, async () => {
          if (!(await takesAgain(settings, gateway, () => fleet.acknowledged > before))) late++;
        });
        slowestMs = Math.max(slowestMs, tookMs);
      }
      const all = await drained(fleet, settings);
      const stopped = await gateway.stop();
      await fleet.stop();
      const report = await compare(settings, fleet, gateway.data);
      return {
        done: `killed ${gateway.kills} times at random moments`,
        checks: [
          ...promiseChecks(report),
          {
            text: 'after each kill it took messages again',
            ok: late === 0 && all,
            detail: `slowest after ${Math.round(slowestMs)} ms, start of the process included`,
          },
          endCheck(gateway, stopped),
        ],
      };
    } finally {
      await gateway.stop();
      await fleet.stop();
    }
  },
};

export async function timed(clock: Clock, task: () => Promise<void>): Promise<number> {
  const fromMs = clock.monotonicMs();
  await task();
  return clock.monotonicMs() - fromMs;
}

async function takesAgain(
  settings: ExerciseSettings,
  gateway: RehearsedGateway,
  acknowledges: () => boolean,
): Promise<boolean> {
  if (!(await gateway.ready())) return settings.signal.aborted;
  const again = await holds(acknowledges, TRIAL_LIMITS.rehearseReadyMs, settings);
  return again || settings.signal.aborted;
}
