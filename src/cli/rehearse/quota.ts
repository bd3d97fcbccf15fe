import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { makeFolders } from '../../make-folders.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import { type ExerciseResult, type ExerciseSettings, holds } from './exercise.ts';
import { Filler } from './filler.ts';
import { findNumbers, numberChecks } from './numbered.ts';

/** Without the right to mount: a store that is told that its disk is full. */
export async function fillQuota(settings: ExerciseSettings): Promise<ExerciseResult> {
  const { folder, clock, random, env, signal, forMs } = settings;
  const data = path.join(folder, 'data');
  const quotaFile = path.join(folder, 'quota');
  let quota: number = TRIAL_LIMITS.rehearseQuotaStepBytes;
  await makeFolders(folder);
  await writeFile(quotaFile, String(quota));
  const filler = new Filler({ folder: data, next: 1, env, quotaFile });
  let fills = 0;
  let still = 0;
  try {
    const untilMs = clock.monotonicMs() + forMs;
    while (clock.monotonicMs() < untilMs && !signal.aborted && !filler.fell) {
      const refused = filler.refused;
      const isFull = (): boolean => filler.refused > refused || filler.fell;
      // Once at least, however slow the machine is.
      const leftMs = Math.max(0, untilMs - clock.monotonicMs());
      const withinMs = fills === 0 ? Math.max(leftMs, TRIAL_LIMITS.rehearseReadyMs) : leftMs;
      if (!(await holds(isFull, withinMs, settings))) break;
      fills++;
      await clock.sleep(500, signal);
      const before = filler.acknowledged.length;
      quota += TRIAL_LIMITS.rehearseQuotaStepBytes;
      await writeFile(quotaFile, String(quota));
      filler.nudge();
      const again = (): boolean => filler.acknowledged.length > before;
      if (!(await holds(again, TRIAL_LIMITS.rehearseReadyMs, settings)) && !signal.aborted) still++;
    }
  } finally {
    await filler.kill();
  }
  const found = await findNumbers(data, filler.acknowledged, { clock, random });
  return {
    done: `a quota of the store reached ${fills} times`,
    checks: [
      ...numberChecks(filler.acknowledged, found),
      { text: 'with space it took records again', ok: still === 0 && fills > 0, detail: '' },
      { text: 'it never ended by itself', ok: !filler.fell, detail: '' },
    ],
    note: 'as root, this fills a real file system (tmpfs) under a whole agent',
  };
}
