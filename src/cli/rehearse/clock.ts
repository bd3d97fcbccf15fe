import path from 'node:path';
import { compare, drained, isHeard, endCheck, openFleet, promiseChecks } from './devices.ts';
import type { Exercise } from './exercise.ts';
import { RehearsedGateway } from './gateway.ts';
import { HOUR_MS } from '../../units.ts';

const YEAR_MS = 365 * 24 * HOUR_MS;

/** The wall clock of the agent jumps, as on a box without a battery for it. */
export const clockExercise: Exercise = {
  name: 'clock',
  title: 'wrong clocks: 1970, ten years ahead, an hour back',
  share: 0.2,
  run: async (settings) => {
    const { folder, clock, signal, forMs } = settings;
    const jumps = [10 * YEAR_MS, -HOUR_MS, -clock.nowMs(), 0, 10 * YEAR_MS, 0];
    const gateway = await RehearsedGateway.open(settings, {
      name: 'edge',
      data: path.join(folder, 'data'),
    });
    const fleet = openFleet(settings, gateway.port);
    let still = 0;
    try {
      await gateway.ready();
      fleet.start();
      await clock.sleep(forMs / (jumps.length + 1), signal);
      for (const jump of jumps) {
        if (signal.aborted) break;
        await gateway.setClock(jump);
        // A restart with the wrong clock as well, as at a boot.
        if (jump < -HOUR_MS) gateway.kill();
        await clock.sleep(forMs / (jumps.length + 1), signal);
        if (!(await isHeard(fleet, settings)) && !signal.aborted) still++;
      }
      const all = await drained(fleet, settings);
      const stopped = await gateway.stop();
      await fleet.stop();
      const report = await compare(settings, fleet, gateway.data);
      return {
        done: `${jumps.length} jumps, one with a kill; records are kept for 7 days, and retention ran every second`,
        checks: [
          ...promiseChecks(report),
          { text: 'it took messages at every time', ok: still === 0 && all, detail: '' },
          endCheck(gateway, stopped),
        ],
      };
    } finally {
      await gateway.stop();
      await fleet.stop();
    }
  },
};
