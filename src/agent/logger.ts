import pino from 'pino';
import type { DestinationStream } from 'pino';
import { LIMITS } from '../limits.ts';
import type { LogLevel } from './config-types.ts';
import type { Logger } from '../telemetry.ts';

/**
 * Log lines for machines (JSON) or for a person at a terminal. Written synchronously: there are
 * few of them (one per event that matters), and the last one before a crash must not be lost.
 */
export interface LoggerOptions {
  readonly level: LogLevel;
  readonly pretty: boolean;
  readonly colour: boolean;
  /** File descriptor written to. */
  readonly fd: number;
  /** In every line. */
  readonly bindings: Readonly<Record<string, unknown>>;
}

export async function createLogger(options: LoggerOptions): Promise<Logger> {
  const destination = options.pretty ? await prettyStream(options) : lineStream(options.fd);
  const logger: Logger = pino(
    {
      level: options.level,
      base: options.pretty ? null : options.bindings,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return logger;
}

function lineStream(fd: number): ReturnType<typeof pino.destination> {
  // Whoever read the log may go away (EPIPE): the agent stays, and does not hoard lines.
  const stream = pino.destination({ fd, sync: true, maxLength: LIMITS.logBufferBytes });
  stream.on('error', () => {});
  return stream;
}

/** pino-pretty is loaded only where a person looks: it costs memory. */
async function prettyStream(options: LoggerOptions): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    colorize: options.colour,
    destination: lineStream(options.fd),
    sync: true,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
  });
}
