import pino from 'pino';
import type { DestinationStream } from 'pino';
import { shownControls, shownHidden } from '../control-characters.ts';
import { LIMITS } from '../limits.ts';
import type { LogLevel } from './config-types.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { type LineLevel, RepeatedLines, type WriteLine } from './repeated-lines.ts';

/** `journal`: text with a priority in front, as systemd takes it, and the fields behind it as JSON. */
export type LineFormat = 'json' | 'pretty' | 'journal';

/**
 * Log lines for machines (JSON), for a person at a terminal, or for systemd's journal. Written synchronously: there are
 * few of them (one per event that matters), and the last one before a crash must not be lost.
 */
export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: LineFormat;
  readonly colour: boolean;
  /** File descriptor written to. */
  readonly fd: number;
  /** In every line. */
  readonly bindings: Readonly<Record<string, unknown>>;
  readonly clock: Pick<Clock, 'after'>;
}

export interface AdjustableLogger extends Logger {
  /** Of its children, too. */
  setLevel(level: LogLevel): void;
  /** Tells of lines that were too many, and so only counted, before the process ends. */
  tellRepeats(): void;
}

export async function createLogger(options: LoggerOptions): Promise<AdjustableLogger> {
  const destination =
    options.format === 'pretty' ? await prettyStream(options) : plainStream(options);
  // Few, and as old as what they belong to.
  const children: WeakRef<{ level: string }>[] = [];
  const logger = pino(
    {
      level: options.level,
      base: options.format === 'json' ? options.bindings : null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      onChild: (child) => void children.push(new WeakRef(child)),
    },
    destination,
  );
  const setLevel = (level: LogLevel): void => {
    logger.level = level;
    for (const child of children) {
      const known = child.deref();
      if (known !== undefined) known.level = level;
    }
  };
  const repeats = new RepeatedLines(options.clock);
  return { ...bounded(logger, repeats), setLevel, tellRepeats: () => repeats.tell() };
}

/** Debug lines are as many as they are: a person asked for them. */
function bounded(logger: Logger, repeats: RepeatedLines): Logger {
  const taking =
    (level: LineLevel): WriteLine =>
    (fields, message) =>
      repeats.take(level, fields, message, (given, text) => logger[level](given, text));
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: taking('info'),
    warn: taking('warn'),
    error: taking('error'),
    child: (bindings) => bounded(logger.child(bindings), repeats),
  };
}

/** A line without its end, which must not hold what a device chose to play tricks with. */
function plainStream({ format, fd }: LoggerOptions): DestinationStream {
  const stream = lineStream(fd);
  const shaped = format === 'journal' ? journalLines : shownControls;
  return { write: (line) => void stream.write(`${shaped(line.trimEnd())}\n`) };
}

/** sd-daemon(3): as of syslog. */
const PRIORITIES: Readonly<Record<string, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

/** The journal knows the time, and each line of a message is one of its own there. */
function journalLines(line: string): string {
  const { level, time: _, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const priority = PRIORITIES[String(level)] ?? PRIORITIES['info'];
  const lines = linesShown(msg).split('\n');
  const [first = '', ...rest] = lines;
  const known = Object.keys(fields).length === 0 ? '' : ` ${shownControls(JSON.stringify(fields))}`;
  return [`${first}${known}`, ...rest].map((text) => `<${priority}>${text}`).join('\n');
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
    destination: shownStream(options.fd),
    sync: true,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    messageFormat: (line, key) => linesShown(line[key]),
  });
}

/** Those before U+0020 are escaped in fields already, and colours are made of one of them. */
function shownStream(fd: number): ReturnType<typeof lineStream> {
  const stream = lineStream(fd);
  const write = stream.write.bind(stream);
  stream.write = (text: string): boolean => write(shownHidden(text));
  return stream;
}

/** Messages may have several lines, and may hold what a device chose. */
function linesShown(message: unknown): string {
  if (typeof message !== 'string') return '';
  return message
    .split('\n')
    .map((line) => shownControls(line))
    .join('\n');
}
