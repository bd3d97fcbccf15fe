/**
 * A gatelog agent whose wall clock can be set: `node agent-process.js CONFIG CLOCK`. CLOCK is a
 * file that holds by how many milliseconds the clock is wrong; it is read at the start and at every
 * SIGUSR2. Retention runs every second, so that a minute shows what a year would. Stops at SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { startAgent } from '../../agent/agent.ts';
import { loadConfig } from '../../agent/config.ts';
import { createLogger } from '../../agent/logger.ts';
import { systemRandom } from '../../random.ts';
import { holdProcess, systemClock } from '../../time.ts';
import { productVersion } from '../../version.ts';

const EVERY_SECOND = '* * * * * *';
const [, , file = '', clockFile = ''] = process.argv;
let wrongByMs = 0;

function readClock(): void {
  wrongByMs = Number(readFileSync(clockFile, 'utf8'));
}

const { promise: told, resolve: tell } = Promise.withResolvers<void>();
process.once('SIGTERM', () => tell());
readClock();
process.on('SIGUSR2', readClock);
const hold = holdProcess();
const { config } = loadConfig(file, { env: process.env, workingFolder: process.cwd() });
const { level } = config.log;
const agent = await startAgent(
  { ...config, store: { ...config.store, retentionSchedule: EVERY_SECOND } },
  {
    clock: { ...systemClock, nowMs: () => systemClock.nowMs() + wrongByMs },
    random: systemRandom,
    logger: await createLogger({
      level,
      format: 'json',
      colour: false,
      fd: 1,
      bindings: {},
      clock: systemClock,
    }),
    version: productVersion(),
  },
);
await told;
process.exitCode = (await agent.stop()) ? 0 : 1;
hold.cancel();
