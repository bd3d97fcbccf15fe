import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { systemCodeOf } from '../../errors.ts';
import { makeFolders } from '../../make-folders.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import { formatSize } from '../../units.ts';
import { compare, drained, isHeard, endCheck, openFleet, promiseChecks } from './devices.ts';
import type { Exercise, ExerciseResult, ExerciseSettings } from './exercise.ts';
import { RehearsedGateway } from './gateway.ts';
import { fillQuota } from './quota.ts';

/** A disk that fills to the last byte, and is given space back. */
export const diskExercise: Exercise = {
  name: 'disk',
  title: 'the disk fills, and space comes back',
  share: 0.2,
  run: async (settings) => {
    const disk = path.join(settings.folder, 'small-disk');
    await makeFolders(disk);
    const size = `size=${TRIAL_LIMITS.rehearseDiskBytes},mode=700`;
    if (!(await succeeds('mount', ['-t', 'tmpfs', '-o', size, 'gatelog-rehearsal', disk]))) {
      return fillQuota(settings);
    }
    try {
      return await fillDisk(settings, disk);
    } finally {
      if (!(await succeeds('umount', [disk]))) await succeeds('umount', ['-l', disk]);
    }
  },
};

/** False also where there is no such program, or we may not. */
async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(command, args, { stdio: 'ignore' });
  try {
    const [code] = await once(child, 'close');
    return code === 0;
  } catch {
    return false;
  }
}

async function fillDisk(settings: ExerciseSettings, disk: string): Promise<ExerciseResult> {
  const { clock, signal, forMs } = settings;
  const ballast = path.join(disk, 'ballast');
  const gateway = await RehearsedGateway.open(settings, {
    name: 'edge',
    data: path.join(disk, 'data'),
  });
  const fleet = openFleet(settings, gateway.port);
  let fills = 0;
  let still = 0;
  try {
    await gateway.ready();
    fleet.start();
    const untilMs = clock.monotonicMs() + forMs;
    while (clock.monotonicMs() < untilMs && !signal.aborted) {
      await clock.sleep(1000, signal);
      await fill(ballast);
      fills++;
      await clock.sleep(2500, signal);
      await rm(ballast, { force: true });
      if (!(await isHeard(fleet, settings)) && !signal.aborted) still++;
    }
    const all = await drained(fleet, settings);
    const stopped = await gateway.stop();
    await fleet.stop();
    const report = await compare(settings, fleet, gateway.data);
    return {
      done: `a disk of ${formatSize(TRIAL_LIMITS.rehearseDiskBytes)} filled ${fills} times`,
      checks: [
        ...promiseChecks(report),
        { text: 'with space it took messages again', ok: still === 0 && all, detail: '' },
        endCheck(gateway, stopped),
      ],
    };
  } finally {
    await gateway.stop();
    await fleet.stop();
  }
}

/** Every byte there is. */
async function fill(file: string): Promise<void> {
  const handle = await open(file, 'a');
  try {
    for (const bytes of [1_048_576, 65_536, 4096, 1]) {
      const chunk = Buffer.alloc(bytes);
      while ((await handle.write(chunk)).bytesWritten === bytes);
    }
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOSPC') throw error;
  } finally {
    await handle.close();
  }
}
