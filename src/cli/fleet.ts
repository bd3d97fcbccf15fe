import { kafkaConnection } from '../agent/mirrors.ts';
import type { Config, KafkaUpstreamConfig } from '../agent/config-types.ts';
import { GatelogError } from '../errors.ts';
import { METRICS } from '../health.ts';
import { GAPS } from '../loss.ts';
import type { CommittedReader } from '../mirror/kafka/consume.ts';
import { centralTopicName } from '../mirror/kafka/layout.ts';
import { holdProcess } from '../time.ts';
import { parseDuration } from '../units.ts';
import { suggestion } from '../words.ts';
import { type CliContext, type PlaceOptions, printError, printLine } from './context.ts';
import { withFlags } from './flags.ts';
import { FleetBook } from './fleet-book.ts';
import { fleetLines } from './fleet-lines.ts';
import { Interrupt, OutputGone, writeOut } from './output.ts';
import { configOf } from './place.ts';

export interface FleetOptions extends PlaceOptions {
  readonly kafka?: string | undefined;
  readonly mirror?: string | undefined;
  readonly topic?: readonly string[] | undefined;
  readonly since: string;
  readonly watch: boolean;
  readonly json: boolean;
}

/** `gatelog fleet`: the latest that each gateway told of itself, read from the central Kafka. */
export async function showFleet(context: CliContext, options: FleetOptions): Promise<void> {
  const { config: fromFile } = configOf(context, options);
  const config = withFlags(fromFile, { kafka: options.kafka }, context.workingFolder);
  const kafka = upstreamOf(config, options.mirror);
  const sinceMs = context.clock.nowMs() - spanOf(options.since);
  const interrupt = new Interrupt();
  const hold = holdProcess(); // A clock's timers do not.
  try {
    await follow(context, options, { config, kafka, sinceMs, signal: interrupt.signal });
  } catch (error) {
    if (!(error instanceof OutputGone) && !interrupt.signal.aborted) throw error;
  } finally {
    interrupt.release();
    hold.cancel();
  }
}

interface FleetTask {
  readonly config: Config;
  readonly kafka: KafkaUpstreamConfig;
  readonly sinceMs: number;
  readonly signal: AbortSignal;
}

async function follow(
  context: CliContext,
  options: FleetOptions,
  { config, kafka, sinceMs, signal }: FleetTask,
): Promise<void> {
  const central = (topic: string): string => centralTopicName(kafka.topic, topic, config.gateway);
  const topics = options.topic ?? [central(METRICS)];
  const { CommittedReader: Reader } = await import('../mirror/kafka/consume.ts');
  const reader = new Reader({
    ...kafkaConnection(kafka),
    topics,
    ifThere: topics.includes(central(GAPS)) ? undefined : central(GAPS),
    since: new Map(topics.map((topic) => [topic, sinceMs])),
    clock: context.clock,
    signal,
  });
  const book = new FleetBook();
  try {
    do {
      await readInto(book, reader);
      await show(context, options, book);
      if (options.watch) await context.clock.sleep(WATCH_MS, signal);
    } while (options.watch && !signal.aborted);
  } finally {
    reader.close();
  }
}

const WATCH_MS = 5000;

async function readInto(book: FleetBook, reader: CommittedReader): Promise<void> {
  try {
    for await (const records of reader.pass()) for (const record of records) book.take(record);
  } catch (error) {
    if (!(error instanceof GatelogError) || error.code !== 'UPSTREAM_TOPIC_MISSING') throw error;
    const message = `${error.message}: no gateway that mirrors there tells of itself yet (metrics.interval in its configuration); --topic names another topic`;
    throw new GatelogError('UPSTREAM_TOPIC_MISSING', message, { cause: error });
  }
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
      ? 'a fleet is looked at in its Kafka: name it with --kafka HOST:PORT, or a configuration whose mirror sends there with --config'
      : `several mirrors send to Kafka (${known.join(', ')}): name one with --mirror`;
  throw new GatelogError('USAGE', message);
}
