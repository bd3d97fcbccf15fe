import { GatelogError } from '../../errors.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import type { Clock } from '../../time.ts';
import type { DemoFolder } from './folder.ts';

export interface VacancyOptions {
  readonly folder: DemoFolder;
  readonly clock: Clock;
  /** Rejects when no agent answers on this data folder. */
  readonly ask: (dataFolder: string) => Promise<unknown>;
}

/**
 * Makes sure that no agent runs on the demo's folders, before their configurations are written
 * anew. Agents whose demo was killed stop by themselves, which may take a moment; those of a demo
 * that still runs do not. Throws STORE_LOCKED.
 */
export async function awaitVacancy({ folder, clock, ask }: VacancyOptions): Promise<void> {
  const untilMs = clock.monotonicMs() + TRIAL_LIMITS.demoVacancyMs;
  for (const dataFolder of [folder.edge, folder.central]) {
    while (await answers(ask, dataFolder)) {
      if (clock.monotonicMs() >= untilMs) {
        throw new GatelogError(
          'STORE_LOCKED',
          `another demo runs on ${folder.root}: end it, or choose another folder with --data DIR`,
        );
      }
      await clock.sleep(100);
    }
  }
}

async function answers(ask: VacancyOptions['ask'], dataFolder: string): Promise<boolean> {
  try {
    await ask(dataFolder);
    return true;
  } catch {
    return false;
  }
}
