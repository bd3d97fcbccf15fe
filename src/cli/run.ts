import { startAgent } from '../agent/agent.ts';
import type { Agent } from '../agent/agent-types.ts';
import type { Config, LogLevel } from '../agent/config-types.ts';
import { type AdjustableLogger, createLogger, type LineFormat } from '../agent/logger.ts';
import type { ConfigReading, ConfigSource } from '../agent/reloader.ts';
import type { SupervisedService } from '../agent/supervised-service.ts';
import { refuseOwnedByOther } from '../folder-access.ts';
import { returnStartupMemory } from '../memory.ts';
import type { Logger } from '../telemetry.ts';
import { holdProcess } from '../time.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { isColoured } from './context.ts';
import { isOverruled, withFlags } from './flags.ts';
import type { RunFlags } from './flags.ts';
import { isJournal } from './journal-stream.ts';
import { configOf } from './place.ts';

const STDOUT = 1;
/** A process ended by a signal reports 128 and the signal's number. */
const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const STOPPED_LATE = 70; // EX_SOFTWARE

/**
 * `gatelog run`: the agent until SIGTERM or SIGINT, then a graceful stop (exit code 0); a
 * second signal ends at once, even while the agent starts. SIGHUP is the end of the terminal where there
 * is one, and stops; else it has certificates, users, rules and keys looked at anew. An exception that nobody caught ends the process (crash-only: the log is
 * made for it), after one line that says why.
 */
export async function runAgent(
  context: CliContext,
  options: PlaceOptions & RunFlags,
): Promise<void> {
  const source = sourceOf(context, options);
  const { config, warnings } = source.first;
  await refuseOwnedByOther(config.data);
  const logger = await openLog(context, config);
  for (const warning of warnings) logger.warn({ event: 'config.warning' }, warning);
  process.on('uncaughtExceptionMonitor', (error, origin) => {
    logger.error({ event: 'agent.crash', origin, err: error }, `crashed: ${error.message}`);
  });
  const signals = new Signals(process.stdin.isTTY || context.stdout.isTTY === true);
  const hold = holdProcess();
  const ended = await Promise.race([
    runUntilStopped(context, source, logger, signals, options.adopt ?? false),
    signals.second,
  ]);
  hold.cancel();
  logger.tellRepeats();
  if (typeof ended === 'string') {
    logger.warn({ event: 'agent.stopped', signal: ended }, `ended at once (second ${ended})`);
    context.exitCode = SIGNAL_CODES[ended];
    return;
  }
  if (ended) logger.info({ event: 'agent.stopped' }, 'stopped');
  context.exitCode = ended ? 0 : STOPPED_LATE;
}

/** The configuration with what the flags say, now and whenever it is read again. */
function sourceOf(context: CliContext, options: PlaceOptions & RunFlags): ConfigSource {
  const read = (): ConfigReading => {
    const { config, document, warnings } = configOf(context, options);
    return { config: withFlags(config, options, context.workingFolder), document, warnings };
  };
  return { first: read(), read, isOverruled: (at) => isOverruled(at, options) };
}

/** Resolves as Agent.stop does. A signal that comes while the agent starts counts when it stands. */
async function runUntilStopped(
  context: CliContext,
  source: ConfigSource,
  logger: AdjustableLogger,
  signals: Signals,
  adopt: boolean,
): Promise<boolean> {
  const { clock, random, version } = context;
  const service = await serviceOf(context, logger);
  service?.starting();
  // At once: what a start asks for would count for the stop, and TimeoutStopSec for nothing.
  void signals.first.then((signal) => service?.stopping(signal));
  const { config } = source.first;
  const setLogLevel = (level: LogLevel): void => logger.setLevel(level);
  const aroundReload = service?.reloading.bind(service);
  const reloads = { configSource: source, setLogLevel, aroundReload };
  const agent = await startAgent(config, { clock, random, logger, version, adopt, ...reloads });
  logReady(agent, config, context, logger);
  void service?.ready(agent);
  returnStartupMemory();
  signals.onReload(() => {
    logger.info(
      { event: 'agent.reload' },
      'looking at the configuration, the certificates and the files of users, rules and keys (SIGHUP)',
    );
    void agent.reload();
  });
  const signal = await signals.first;
  logger.info({ event: 'agent.stopping', signal }, `stopping (${signal})`);
  return agent.stop();
}

/** Loaded only where somebody listens. */
async function serviceOf(
  { env, clock }: CliContext,
  logger: Logger,
): Promise<SupervisedService | undefined> {
  if ((env['NOTIFY_SOCKET'] ?? '') === '') return undefined;
  // As top and systemctl status name it, which would say MainThread. Its arguments stand in the unit.
  process.title = 'gatelog';
  const { NotifyingServiceManager } = await import('../agent/service-manager.ts');
  const manager = NotifyingServiceManager.of(env, logger);
  if (manager === undefined) return undefined;
  const { SupervisedService: Service } = await import('../agent/supervised-service.ts');
  return new Service({ manager, clock, logger });
}

function lineFormat(context: CliContext): LineFormat {
  if (context.stdout.isTTY === true) return 'pretty';
  return isJournal(context, STDOUT) ? 'journal' : 'json';
}

function openLog(context: CliContext, config: Config): Promise<AdjustableLogger> {
  const { level, format } = config.log;
  const bindings = { gateway: config.gateway };
  const { clock } = context;
  const shape = format === 'auto' ? lineFormat(context) : format;
  const colour = isColoured(context);
  return createLogger({ level, format: shape, colour, fd: STDOUT, bindings, clock });
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

  #reload: () => void = () => {};

  constructor(hasTerminal: boolean) {
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
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        if (signal === 'SIGHUP' && !hasTerminal) this.#reload();
        else take(signal);
      });
    }
  }

  /** What SIGHUP does without a terminal. */
  onReload(task: () => void): void {
    this.#reload = task;
  }
}
