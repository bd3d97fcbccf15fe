import { startAgent } from '../agent/agent.ts';
import type { Agent } from '../agent/agent.ts';
import type { Config } from '../agent/config-types.ts';
import { createLogger } from '../agent/logger.ts';
import { returnStartupMemory } from '../memory.ts';
import type { Logger } from '../telemetry.ts';
import { holdProcess } from '../time.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { isColoured } from './context.ts';
import { withFlags } from './flags.ts';
import type { RunFlags } from './flags.ts';
import { configOf } from './place.ts';

const STDOUT = 1;
/** A process ended by a signal reports 128 and the signal's number. */
const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
const STOPPED_LATE = 70; // EX_SOFTWARE

/**
 * `gatelog run`: the agent until SIGTERM or SIGINT, then a graceful stop (exit code 0); a second
 * signal ends at once. An exception that nobody caught ends the process (crash-only: the log is
 * made for it), after one line that says why.
 */
export async function runAgent(
  context: CliContext,
  options: PlaceOptions & RunFlags,
): Promise<void> {
  const { config: fromFile, warnings } = configOf(context, options);
  const config = withFlags(fromFile, options, context.workingFolder);
  const logger = await openLog(context, config);
  for (const warning of warnings) logger.warn({ event: 'config.warning' }, warning);
  process.on('uncaughtExceptionMonitor', (error, origin) => {
    logger.error({ event: 'agent.crash', origin, err: error }, `crashed: ${error.message}`);
  });
  const signals = new Signals(logger);
  const hold = holdProcess();
  const { clock, random, version } = context;
  const agent = await startAgent(config, { clock, random, logger, version });
  logReady(agent, config, context, logger);
  returnStartupMemory();
  const first = await signals.first;
  logger.info({ event: 'agent.stopping', signal: first }, `stopping (${first})`);
  const ended = await Promise.race([agent.stop(), signals.second]);
  hold.cancel();
  if (typeof ended === 'string') {
    logger.warn({ event: 'agent.stopped', signal: ended }, `ended at once (second ${ended})`);
    context.exitCode = SIGNAL_CODES[ended];
    return;
  }
  if (ended) logger.info({ event: 'agent.stopped' }, 'stopped');
  context.exitCode = ended ? 0 : STOPPED_LATE;
}

function openLog(context: CliContext, config: Config): Promise<Logger> {
  const { level, format } = config.log;
  const pretty = format === 'pretty' || (format === 'auto' && context.stdout.isTTY === true);
  const bindings = { gateway: config.gateway };
  return createLogger({ level, pretty, colour: isColoured(context), fd: STDOUT, bindings });
}

function logReady(agent: Agent, config: Config, context: CliContext, logger: Logger): void {
  const { data, gateway } = config;
  const listeners = agent.addresses();
  logger.info(
    { event: 'agent.ready', version: context.version, listeners, data, pid: process.pid },
    `gateway ${gateway} is ready: ${listeners.join(', ')}, data in ${data}`,
  );
}

type StopSignal = keyof typeof SIGNAL_CODES;

/** The first and the second request to stop, of whichever kind. */
class Signals {
  readonly first: Promise<StopSignal>;
  readonly second: Promise<StopSignal>;

  constructor(logger: Logger) {
    const first = Promise.withResolvers<StopSignal>();
    const second = Promise.withResolvers<StopSignal>();
    this.first = first.promise;
    this.second = second.promise;
    let count = 0;
    const take = (signal: StopSignal): void => {
      count++;
      if (count === 1) first.resolve(signal);
      else second.resolve(signal);
    };
    process.on('SIGINT', () => take('SIGINT'));
    process.on('SIGTERM', () => take('SIGTERM'));
    // A closed terminal must not kill a draining agent.
    process.on('SIGHUP', () => {
      logger.info({ event: 'agent.hangup' }, 'SIGHUP is not used; SIGTERM stops the agent');
    });
  }
}
