import type { Config, KafkaUpstreamConfig } from '../agent/config-types.ts';
import { GatelogError } from '../errors.ts';
import { holdProcess } from '../time.ts';
import { parseDuration } from '../units.ts';
import { suggestion } from '../words.ts';
import { type CliContext, type PlaceOptions, printError, printLine } from './context.ts';
import { withFlags } from './flags.ts';
import { FleetBook, type Told } from './fleet-book.ts';
import { fleetLines } from './fleet-lines.ts';
import { Interrupt, OutputGone, writeOut } from './output.ts';
import { configOf, dataFolderOf } from './place.ts';

export interface FleetOptions extends PlaceOptions {
  readonly kafka?: string | undefined;
  readonly mirror?: string | undefined;
  readonly topic?: readonly string[] | undefined;
  readonly since: string;
  readonly watch: boolean;
  readonly json: boolean;
}

/** Where gateways told of themselves. */
interface FleetSource {
  /** Gives what came since the last pass. */
  pass(take: (told: Told) => void): Promise<void>;
  close?(): void;
}

/** `gatelog fleet`: the latest that each gateway told of itself, read from the central Kafka or a central gatelog. */
export async function showFleet(context: CliContext, options: FleetOptions): Promise<void> {
  const sinceMs = context.clock.nowMs() - spanOf(options.since);
  const interrupt = new Interrupt();
  const { signal } = interrupt;
  const hold = holdProcess(); // A clock's timers do not.
  try {
    const source = await sourceOf(context, options, sinceMs, signal);
    await follow(context, options, source, signal);
  } catch (error) {
    if (!(error instanceof OutputGone) && !signal.aborted) throw error;
  } finally {
    interrupt.release();
    hold.cancel();
  }
}

async function follow(
  context: CliContext,
  options: FleetOptions,
  source: FleetSource,
  signal: AbortSignal,
): Promise<void> {
  const book = new FleetBook();
  try {
    do {
      await source.pass((told) => book.take(told));
      await show(context, options, book);
      if (options.watch) await context.clock.sleep(WATCH_MS, signal);
    } while (options.watch && !signal.aborted);
  } finally {
    source.close?.();
  }
}

const WATCH_MS = 5000;

/** Throws USAGE, NOT_FOUND. */
async function sourceOf(
  context: CliContext,
  options: FleetOptions,
  sinceMs: number,
  signal: AbortSignal,
): Promise<FleetSource> {
  const { config: fromFile } = configOf(context, options);
  const config = withFlags(fromFile, { kafka: options.kafka }, context.workingFolder);
  if (isOfLog(options, config)) {
    const { FleetLog } = await import('./fleet-log.ts');
    return new FleetLog(context, dataFolderOf(context, options), sinceMs, signal);
  }
  const kafka = upstreamOf(config, options.mirror);
  const { FleetKafka } = await import('./fleet-kafka.ts');
  const { gateway } = config;
  const { clock } = context;
  return new FleetKafka({ kafka, gateway, topics: options.topic, sinceMs, clock, signal });
}

/** A folder that is named, or the one of a central gatelog that sends to no Kafka. Throws USAGE. */
function isOfLog({ data, kafka, mirror, topic }: FleetOptions, config: Config): boolean {
  const isAboutKafka = [kafka, mirror, topic].some((option) => option !== undefined);
  if (data !== undefined && isAboutKafka) {
    const message =
      '--data reads the log of a central gatelog, and --kafka, --mirror and --topic the central Kafka: give one of both';
    throw new GatelogError('USAGE', message);
  }
  if (data !== undefined) return true;
  const hasKafka = Object.values(config.mirrors).some(({ upstream }) => upstream.kind === 'kafka');
  return config.mqtt.central && !hasKafka && !isAboutKafka;
}

const CLEAR = '\u001B[H\u001B[2J';

async function show(
  context: CliContext,
  { json, watch, since }: FleetOptions,
  book: FleetBook,
): Promise<void> {
  const gateways = book.gateways(context.clock.nowMs());
  if (json) {
    await writeOut(context, gateways.map((each) => `${JSON.stringify(each)}\n`).join(''));
    return;
  }
  if (gateways.length === 0 && !watch) {
    printError(context, `no gateway told of itself in the last ${since}`);
    return;
  }
  const clear = watch && context.stdout.isTTY === true ? CLEAR : '';
  await writeOut(context, `${clear}${fleetLines(context, gateways).join('\n')}\n`);
  if (watch && clear === '') printLine(context, '');
}

/** Throws USAGE. */
function spanOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new GatelogError('USAGE', `--since: expected a duration such as 6h or 7d, found "${text}"`);
}

/** Throws USAGE, NOT_FOUND. */
function upstreamOf({ mirrors }: Config, wanted: string | undefined): KafkaUpstreamConfig {
  const known = Object.keys(mirrors);
  if (wanted !== undefined && !known.includes(wanted)) {
    const message = `there is no mirror "${wanted}" in the configuration${suggestion(wanted, known)}`;
    throw new GatelogError('NOT_FOUND', message);
  }
  const found = Object.entries(mirrors).flatMap(([name, { upstream }]) =>
    upstream.kind === 'kafka' && (wanted === undefined || name === wanted) ? [upstream] : [],
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const message =
    only === undefined
      ? 'a fleet is looked at where its records arrive: name the Kafka with --kafka HOST:PORT, or a configuration whose mirror sends there with --config; a central gatelog (mqtt.central) with its own --config, or --data DIR'
      : `several mirrors send to Kafka (${known.join(', ')}): name one with --mirror`;
  throw new GatelogError('USAGE', message);
}
