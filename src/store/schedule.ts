import { schedule, validate, type ScheduledTask } from 'node-cron';
import { GatelogError, messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';

export interface Schedule {
  stop(): Promise<void>;
}

/** Runs `task` by a cron expression; a run that fails is logged, and the next one comes. */
export function scheduled(
  name: string,
  cron: string,
  task: () => Promise<void>,
  logger: Logger,
): Schedule {
  if (!validate(cron)) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `${JSON.stringify(cron)} is no cron expression: five fields (minute, hour, day of month, ` +
        `month, day of week) are expected, as in "*/5 * * * *"`,
    );
  }
  const job: ScheduledTask = schedule(
    cron,
    async () => {
      try {
        await task();
      } catch (error) {
        logger.error({ error: messageOf(error) }, `${name} failed; it runs again as scheduled`);
      }
    },
    { noOverlap: true, name },
  );
  return {
    stop: async () => {
      await job.destroy();
    },
  };
}
