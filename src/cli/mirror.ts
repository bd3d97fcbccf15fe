import { ControlClient } from '../admin/control-client.ts';
import { parseStartPoint, START_EXPECTED } from '../admin/consume.ts';
import { GatelogError } from '../errors.ts';
import type { PendingSkip } from '../mirror/skip.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import type { Resumed } from '../mirror/steering.ts';
import { isoTime } from '../time.ts';
import { formatDuration } from '../units.ts';
import { suggestion } from '../words.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { paint, printLine } from './context.ts';
import { linkLines, sampleLines } from './link-lines.ts';
import { lossLines, rangeText } from './losses.ts';
import { dataFolderOf } from './place.ts';
import { lagTime, mirrorTable } from './status.ts';
import { formatTable } from './table.ts';

export interface MirrorOptions extends PlaceOptions {
  readonly name: string;
  readonly topic?: string | undefined;
}

export interface SkipOptions extends MirrorOptions {
  readonly partition?: number | undefined;
  readonly count: number;
}

export interface SeekOptions extends MirrorOptions {
  readonly partition?: number | undefined;
  readonly to: string;
}

/** `gatelog mirror status`. */
export async function showMirrors(
  context: CliContext,
  options: PlaceOptions & { readonly name?: string | undefined; readonly json: boolean },
): Promise<void> {
  const { mirrors } = await new ControlClient(dataFolderOf(context, options)).wholeStatus();
  const wanted = mirrors.filter(({ name }) => options.name === undefined || name === options.name);
  if (options.name !== undefined && wanted.length === 0) {
    const known = mirrors.map(({ name }) => name);
    const message = `there is no mirror "${options.name}"${suggestion(options.name, known)}`;
    throw new GatelogError('NOT_FOUND', message);
  }
  if (options.json) {
    for (const mirror of wanted) printLine(context, JSON.stringify(mirror));
    return;
  }
  if (wanted.length === 0) {
    printLine(context, 'the agent has no mirrors');
    return;
  }
  for (const line of mirrorTable(context, wanted)) printLine(context, line);
  for (const mirror of wanted) printTopics(context, mirror);
  for (const mirror of wanted) printPartitions(context, mirror);
  for (const mirror of wanted) {
    const lines = [...linkLines(mirror.link), ...sampleLines(mirror)];
    for (const line of lines) printLine(context, `${mirror.name}: ${line}`);
  }
  for (const mirror of wanted) {
    for (const line of lossLines(mirror)) printLine(context, `${mirror.name}: ${line}`);
  }
}

function printTopics(context: CliContext, mirror: MirrorStatus): void {
  const rows = mirror.topics.map((topic) => [
    topic.topic,
    topic.class,
    topic.drain,
    topic.state,
    String(topic.lagRecords),
    lagTime(topic),
    etaText(topic),
  ]);
  if (rows.length === 0) return;
  const [head = '', ...lines] = formatTable(
    [
      { title: `${mirror.name}: TOPIC` },
      { title: 'CLASS' },
      { title: 'DRAIN' },
      { title: 'STATE' },
      { title: 'LAG', right: true },
      { title: 'OLDEST', right: true },
      { title: 'ETA', right: true },
    ],
    rows,
  );
  printLine(context, '');
  printLine(context, paint(context, 'bold', head));
  for (const line of lines) printLine(context, line);
}

/** `-` without a lag, or where a person must act first; `?` while nothing is sent. */
export function etaText({ state, lagRecords, etaMs, heldUntilMs }: EtaSources): string {
  if (lagRecords === 0 || state === 'paused') return '-';
  if (etaMs !== undefined) return formatDuration(etaMs);
  return heldUntilMs === undefined ? '?' : `after ${isoTime(heldUntilMs)}`;
}

type EtaSources = Pick<
  MirrorStatus['topics'][number],
  'state' | 'lagRecords' | 'etaMs' | 'heldUntilMs'
>;

function printPartitions(context: CliContext, mirror: MirrorStatus): void {
  const rows = mirror.topics.flatMap(({ topic, partitions }) =>
    partitions.map((partition) => [
      `${topic}/${partition.partition}`,
      String(partition.position),
      String(partition.endOffset),
      String(partition.lagRecords),
      lagTime(partition),
      String(partition.recordsMissing),
    ]),
  );
  if (rows.length === 0) return;
  const [head = '', ...lines] = formatTable(
    [
      { title: `${mirror.name}: PARTITION` },
      { title: 'POSITION', right: true },
      { title: 'END', right: true },
      { title: 'LAG', right: true },
      { title: 'LAG TIME', right: true },
      { title: 'MISSING', right: true },
    ],
    rows,
  );
  printLine(context, '');
  printLine(context, paint(context, 'bold', head));
  for (const line of lines) printLine(context, line);
}

/** `gatelog mirror pause` and `resume`. */
export async function steerMirror(
  context: CliContext,
  action: 'pause' | 'resume',
  options: MirrorOptions,
): Promise<void> {
  const { name, topic } = options;
  const client = new ControlClient(dataFolderOf(context, options));
  const answer = await client.steer(name, action, { topic });
  const scope = topic === undefined ? '' : `, topic ${topic}`;
  printLine(context, `mirror ${name}${scope}: ${action === 'pause' ? 'paused' : 'resumed'}`);
  if (action === 'pause') return;
  for (const line of stillPausedLines(name, answer as Resumed)) printLine(context, line);
}

/** What a resume of another scope left paused, and how to resume that. */
export function stillPausedLines(name: string, resumed: Resumed): string[] {
  const { pausedTopics, isMirrorPaused } = resumed;
  const topics = pausedTopics.map(
    (topic) =>
      `topic ${topic} stays paused: resume it with gatelog mirror resume ${name} --topic ${topic}`,
  );
  const whole = `the whole mirror is paused, and the topic with it: gatelog mirror resume ${name}`;
  return isMirrorPaused ? [...topics, whole] : topics;
}

/** `gatelog mirror forget`. */
export async function forgetMirror(context: CliContext, options: MirrorOptions): Promise<void> {
  const { name } = options;
  await new ControlClient(dataFolderOf(context, options)).steer(name, 'forget', {});
  printLine(context, `mirror ${name}: forgotten`);
}

/** `gatelog mirror skip`. */
export async function skipRecords(context: CliContext, options: SkipOptions): Promise<void> {
  const { name, topic, partition, count } = options;
  const client = new ControlClient(dataFolderOf(context, options));
  const skip = (await client.steer(name, 'skip', { topic, partition, count })) as PendingSkip;
  const range = rangeText(skip.fromOffset, skip.toOffset - 1);
  printLine(context, `${skip.topic}/${skip.partition} leaves out ${range}, and goes on after it`);
}

/** `gatelog mirror seek`. */
export async function seekMirror(context: CliContext, options: SeekOptions): Promise<void> {
  const { name, topic, partition, to } = options;
  if (parseStartPoint(to) === undefined) {
    throw new GatelogError('USAGE', `--to: expected ${START_EXPECTED}, found "${to}"`);
  }
  const body = { topic, partition, to };
  const seeks = await new ControlClient(dataFolderOf(context, options)).steer(name, 'seek', body);
  for (const seek of seeks as { topic: string; partition: number; offset: number }[]) {
    printLine(context, `${seek.topic}/${seek.partition} goes on from offset ${seek.offset}`);
  }
}
