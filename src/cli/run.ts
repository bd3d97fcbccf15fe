import { startAgent } from '../agent/agent.ts';
import type { Agent } from '../agent/agent-types.ts';
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
const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const STOPPED_LATE = 70; // EX_SOFTWARE

/**
 * `gatelog run`: the agent until SIGTERM, SIGINT or SIGHUP, then a graceful stop (exit code 0); a
 * second signal ends at once, even while the agent starts. An exception that nobody caught ends the process (crash-only: the log is
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
  const signals = new Signals();
  const hold = holdProcess();
  const ended = await Promise.race([
    runUntilStopped(context, config, logger, signals, options.adopt ?? false),
    signals.second,
  ]);
  hold.cancel();
  if (typeof ended === 'string') {
    logger.warn({ event: 'agent.stopped', signal: ended }, `ended at once (second ${ended})`);
    context.exitCode = SIGNAL_CODES[ended];
    return;
  }
  if (ended) logger.info({ event: 'agent.stopped' }, 'stopped');
  context.exitCode = ended ? 0 : STOPPED_LATE;
}

/** Resolves as Agent.stop does. A signal that comes while the agent starts counts when it stands. */
async function runUntilStopped(
  context: CliContext,
  config: Config,
  logger: Logger,
  signals: Signals,
  adopt: boolean,
): Promise<boolean> {
  const { clock, random, version } = context;
  const agent = await startAgent(config, { clock, random, logger, version, adopt });
  logReady(agent, config, context, logger);
  returnStartupMemory();
  const signal = await signals.first;
  logger.info({ event: 'agent.stopping', signal }, `stopping (${signal})`);
  return agent.stop();
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
const STOP_SIGNALS = Object.keys(SIGNAL_CODES) as readonly StopSignal[];

/** The first and the second request to stop, of whichever kind. */
class Signals {
  readonly first: Promise<StopSignal>;
  readonly second: Promise<StopSignal>;

  constructor() {
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
    for (const signal of STOP_SIGNALS) process.on(signal, () => take(signal));
  }
}
