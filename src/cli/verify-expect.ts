import { type Coverage, type Coverages, holesIn } from '../coverage.ts';
import { consumeLines } from '../admin/consume.ts';
import type { ConsumeRequest } from '../admin/consume.ts';
import { ControlClient } from '../admin/control-client.ts';
import type { RecordJson } from '../admin/record-json.ts';
import type { MirrorStart } from '../agent/config-types.ts';
import { KnownMirrors, positionsName, sampledSpace } from '../agent/known-mirrors.ts';
import { parseIdentity } from '../identity.ts';
import type { GapJson } from '../loss.ts';
import type { Auditor } from '../mirror/audit.ts';
import { SampledBook } from '../mirror/sampled-book.ts';
import { type TopicPattern, topicMatcher } from '../mirror/selection.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, Store } from '../store/log.ts';
import type { CliContext } from './context.ts';
import { withAgentOrFolder } from './folder.ts';
import { gathered, ledgerOf } from './ledger.ts';
import { tellGap } from './verify-gaps.ts';

/**
 * What the gateway itself says must have arrived: from the first offset it still has to the
 * position its mirror was confirmed. Without it a missing head or tail can't be seen. What it put
 * in quarantine or reported as lost is declared, not missing.
 */
export interface Expectation {
  readonly gateway: string;
  readonly incarnation: string;
  /** Its agent runs: what stands above the positions may be under way. */
  readonly isRunning: boolean;
  /** Records of its log that its mirror has not sent yet. */
  readonly waiting: number;
  /** Names of the local topics. */
  readonly topics: readonly string[];
  /** Names of the mirrors that the gateway knows. */
  readonly mirrors: readonly string[];
  readonly ranges: readonly {
    readonly topic: string;
    readonly partition: number;
    /** undefined: not known, because the mirror began at the end of the log. */
    readonly from: number | undefined;
    /** One past the last. */
    readonly to: number;
  }[];
  /** From the loss ledger: what concerns this mirror. */
  readonly gaps: readonly GapJson[];
  /** Identities of quarantined records, with the reason. */
  readonly quarantined: readonly { readonly identity: string; readonly reason: string }[];
}

export interface ExpectOptions {
  readonly folder: string;
  readonly gateway: string;
  readonly mirror: string;
  readonly patterns: readonly TopicPattern[];
  readonly start: MirrorStart;
}

export function readExpectation(context: CliContext, options: ExpectOptions): Promise<Expectation> {
  return withAgentOrFolder(
    context,
    options.folder,
    () => fromAgent(options),
    (store) => fromStore(store, options),
  );
}

async function fromAgent(options: ExpectOptions): Promise<Expectation> {
  const client = new ControlClient(options.folder);
  const status = await client.wholeStatus();
  const mirror = status.mirrors.find(({ name }) => name === options.mirror);
  const starts = new Map(
    status.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partition, startOffset }) => [`${name}/${partition}`, startOffset]),
    ),
  );
  const ranges = (mirror?.topics ?? []).flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, position }) => ({
      topic,
      partition,
      from: firstOf(options, starts.get(`${topic}/${partition}`) ?? 0, position),
      to: position,
    })),
  );
  const topics = status.topics.map(({ name }) => name);
  const blocks = topics.includes(QUARANTINE)
    ? await client.consume(WHOLE_QUARANTINE, 'beginning', new AbortController().signal)
    : undefined;
  return {
    gateway: status.gateway,
    incarnation: status.incarnation,
    isRunning: true,
    waiting: mirror?.lagRecords ?? 0,
    topics,
    mirrors: status.mirrors.map(({ name }) => name),
    ranges,
    gaps: await gathered(client.gaps(), concerning(options.mirror)),
    quarantined: await quarantinedIn(blocks, options.mirror),
  };
}

async function fromStore(store: Store, options: ExpectOptions): Promise<Expectation> {
  const { reader, identity } = store;
  // One that never ran must not get positions by being looked for.
  const mirrors = (await KnownMirrors.load(store, [])).absent();
  const positions = mirrors.includes(options.mirror)
    ? (await store.positions(positionsName(options.mirror), {})).coverages()
    : new Map<StreamId, Coverage>();
  const isMirrored = topicMatcher(options.patterns);
  const ranges = reader
    .topics()
    .filter((topic) => isMirrored(topic.name))
    .flatMap(({ name, streams }) =>
      streams.flatMap((stream, partition) => {
        const to = positions.get(stream)?.next;
        if (to === undefined) return [];
        const from = firstOf(options, reader.range(stream).startOffset, to);
        return [{ topic: name, partition, from, to }];
      }),
    );
  const book = await SampledBook.load(store.keyValue(sampledSpace(options.mirror)));
  const waiting = waitingIn(store, positions, book);
  return {
    gateway: options.gateway,
    incarnation: identity.incarnation,
    isRunning: false,
    waiting,
    topics: reader.topics().map(({ name }) => name),
    mirrors,
    ranges,
    gaps: await gathered(ledgerOf(store), concerning(options.mirror)),
    quarantined: await quarantinedIn(quarantineOf(reader), options.mirror),
  };
}

/** Without what is lost already. */
function waitingIn(
  { reader, ledger }: Store,
  positions: Coverages,
  book: Pick<SampledBook, 'keptAhead'>,
): number {
  let waiting = 0;
  for (const { name, streams } of reader.topics()) {
    for (const [partition, stream] of streams.entries()) {
      const had = positions.get(stream);
      if (had === undefined) continue;
      const { startOffset, endOffset } = reader.range(stream);
      waiting -= book.keptAhead(stream, had);
      for (const { from, to } of holesIn(had, startOffset, endOffset)) {
        waiting += to - from;
        for (const range of ledger.lost(name, partition, from, to))
          waiting -= range.to - range.from;
      }
    }
  }
  return waiting;
}

function firstOf({ start }: ExpectOptions, startOffset: number, to: number): number | undefined {
  return start === 'end' ? undefined : Math.min(startOffset, to);
}

const QUARANTINE = '_quarantine';
const WHOLE_QUARANTINE: ConsumeRequest = {
  topic: QUARANTINE,
  partition: undefined,
  from: 'beginning',
  follow: false,
  limit: undefined,
};

function quarantineOf(reader: LogReader): AsyncGenerator<string> | undefined {
  if (reader.topic(QUARANTINE) === undefined) return undefined;
  return consumeLines(reader, WHOLE_QUARANTINE, new AbortController().signal);
}

async function quarantinedIn(
  blocks: AsyncGenerator<string> | undefined,
  mirror: string,
): Promise<Expectation['quarantined']> {
  const found: { identity: string; reason: string }[] = [];
  if (blocks === undefined) return found;
  for await (const block of blocks) {
    for (const line of block.split('\n')) {
      if (line === '') continue;
      const { headers = [] } = JSON.parse(line) as Partial<RecordJson>;
      const header = (name: string): string =>
        headers.findLast(({ key }) => key === `gatelog.quarantine.${name}`)?.value ?? '';
      if (header('mirror') !== mirror) continue;
      found.push({ identity: header('source'), reason: header('reason') });
    }
  }
  return found;
}

/** What is missing for every reader, or for this mirror. */
function concerning(mirror: string): (gap: GapJson) => boolean {
  return (gap) => gap.mirror === null || gap.mirror === mirror;
}

/**
 * Beside a running agent gaps are judged below the positions: what stands above may be on its way,
 * or in quarantine since.
 */
export function tellAuditor(auditor: Auditor, expected: Expectation): void {
  const { gateway, incarnation, isRunning } = expected;
  for (const { topic, partition, from, to } of expected.ranges) {
    const source = { gateway, incarnation, topic, partition };
    auditor.expect(source, { from, to });
    if (isRunning) auditor.judgeBelow(source, to);
  }
  for (const gap of expected.gaps) tellGap(auditor, gateway, gap);
  for (const { identity, reason } of expected.quarantined) {
    const source = parseIdentity(identity);
    if (source === undefined) continue;
    const { offset, ...place } = source;
    auditor.declareLost(place, { from: offset, to: offset + 1 }, `quarantined: ${reason}`);
  }
}
