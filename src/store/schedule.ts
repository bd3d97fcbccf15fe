import { cronMatcher, requireCron } from '../cron.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';

export interface Schedule {
  stop(): Promise<void>;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;

/**
 * Runs `task` by a cron expression; a run that fails is logged, and the next one comes. The library
 * says which moments are meant; the waiting is ours, because a clock that jumps ahead has it make up
 * for every missed moment (one that was set from 1970 for 29 million), and one that jumps back has it
 * wait until the old time comes again.
 */
export function scheduled(
  name: string,
  cron: string,
  task: () => Promise<void>,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Schedule {
  requireCron(cron);
  const isMeant = cronMatcher(cron);
  const unitMs = cron.trim().split(/\s+/u).length > 5 ? SECOND_MS : MINUTE_MS;
  let last = Math.floor(clock.nowMs() / unitMs);
  let running: Promise<void> | undefined;
  let timer: Timer;
  const run = async (): Promise<void> => {
    try {
      await task();
    } catch (error) {
      logger.error({ error: messageOf(error) }, `${name} failed; it runs again as scheduled`);
    }
    running = undefined;
  };
  const wait = (): void => {
    timer = clock.after(unitMs - (clock.nowMs() % unitMs), look);
  };
  const look = (): void => {
    const unit = Math.floor(clock.nowMs() / unitMs);
    if (unit !== last && isMeant(unit * unitMs)) running ??= run();
    last = unit;
    wait();
  };
  wait();
  return {
    stop: () => {
      timer.cancel();
      return Promise.resolve();
    },
  };
}
