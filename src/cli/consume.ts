import { consumeLines, GAP_LINE, parseStartPoint, START_EXPECTED } from '../admin/consume.ts';
import type { ConsumeRequest, GapLine } from '../admin/consume.ts';
import { ControlClient } from '../admin/control-client.ts';
import type { RecordJson } from '../admin/record-json.ts';
import { GatelogError } from '../errors.ts';
import { counted } from '../words.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { printError } from './context.ts';
import { withFolderInstead } from './folder.ts';
import { Interrupt, OutputGone, writeOut } from './output.ts';
import { dataFolderOf } from './place.ts';
import { rangeText } from './losses.ts';
import { recordText } from './record-text.ts';

export interface ConsumeOptions extends PlaceOptions {
  readonly topic: string;
  readonly partition?: number | undefined;
  readonly from: string;
  readonly follow: boolean;
  readonly limit?: number | undefined;
  readonly json: boolean;
}

/** `gatelog consume`: records of a topic, from the running agent or from a stopped folder. */
export async function consume(context: CliContext, options: ConsumeOptions): Promise<void> {
  const request = requestOf(options);
  const folder = dataFolderOf(context, options);
  const interrupt = new Interrupt();
  const { signal } = interrupt;
  const print = (blocks: AsyncGenerator<string>): Promise<void> =>
    printBlocks(context, options.json, blocks, signal);
  try {
    const running = await askAgent(folder, request, options.from, signal);
    if (running.lines !== undefined) await print(running.lines);
    else {
      await withFolderInstead(context, folder, running.error, (store) =>
        print(consumeLines(store.reader, request, signal)),
      );
    }
  } catch (error) {
    if (!(error instanceof OutputGone)) throw error;
  } finally {
    interrupt.release();
  }
}

/** The error when the agent can't be asked, for who may look at the folder without it. */
async function askAgent(
  folder: string,
  request: ConsumeRequest,
  from: string,
  signal: AbortSignal,
): Promise<{ readonly lines?: AsyncGenerator<string>; readonly error?: unknown }> {
  try {
    return { lines: await new ControlClient(folder).consume(request, from, signal) };
  } catch (error) {
    if (!request.follow) return { error };
    if (!(error instanceof GatelogError) || error.code !== 'AGENT_NOT_RUNNING') throw error;
    const message = `there is nothing to follow: no agent is running on ${folder}`;
    throw new GatelogError('AGENT_NOT_RUNNING', message, { cause: error });
  }
}

/** Lines as they come with `--json`; otherwise laid out for a person. Gaps go to stderr. */
async function printBlocks(
  context: CliContext,
  json: boolean,
  blocks: AsyncGenerator<string>,
  signal: AbortSignal,
): Promise<void> {
  for await (const block of blocks) {
    if (signal.aborted) return;
    const lines = block.split('\n').filter((line) => line !== '');
    const records = lines.filter((line) => !line.startsWith(GAP_LINE));
    for (const line of lines) {
      if (line.startsWith(GAP_LINE)) printError(context, gapText(JSON.parse(line) as GapLine));
    }
    const shown = json
      ? records
      : records.map((line) => recordText(context, JSON.parse(line) as RecordJson));
    if (shown.length > 0) await writeOut(context, `${shown.join('\n')}\n`);
  }
}

const WHY: Readonly<Record<GapLine['gap']['reason'], string>> = {
  retention: 'removed by retention, or for space',
  corruption: 'the disk lost them',
};

function gapText({ gap }: GapLine): string {
  const { topic, partition, fromOffset, toOffset, reason } = gap;
  const count = toOffset - fromOffset;
  const are = count === 1 ? 'is' : 'are';
  const range = rangeText(fromOffset, toOffset - 1);
  return `${topic}/${partition}: ${counted(count, 'offset')} ${are} gone (${range}): ${WHY[reason]}`;
}

function requestOf(options: ConsumeOptions): ConsumeRequest {
  const { topic, partition, from, follow, limit } = options;
  const start = parseStartPoint(from);
  if (start === undefined) {
    throw new GatelogError('USAGE', `--from: expected ${START_EXPECTED}, found "${from}"`);
  }
  for (const [name, value] of [
    ['partition', partition],
    ['limit', limit],
  ] as const) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
      const found = Number.isNaN(value) ? 'something else' : `"${value}"`;
      throw new GatelogError('USAGE', `--${name}: expected a whole number, found ${found}`);
    }
  }
  return { topic, partition, from: start, follow, limit };
}
