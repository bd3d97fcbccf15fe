import { GAP_LINE } from '../admin/consume.ts';
import type { ConsumeRequest } from '../admin/consume.ts';
import { ControlClient } from '../admin/control-client.ts';
import type { RecordJson } from '../admin/record-json.ts';
import { kafkaConnection } from '../agent/mirrors.ts';
import type { KafkaUpstreamConfig } from '../agent/config-types.ts';
import { must } from '../assert.ts';
import { decodeHeaders } from '../headers.ts';
import { IDENTITY_HEADER, parseIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import { GAPS } from '../loss.ts';
import type { UnreadRange } from '../mirror/audit.ts';
import type { CommittedReader } from '../mirror/kafka/consume.ts';
import { streamsOf } from '../mirror/selection.ts';
import type { LogRecord, StreamId } from '../record.ts';
import type { LogReader, Store, TopicInfo } from '../store/log.ts';
import type { CliContext } from './context.ts';
import { withAgentOrFolder } from './folder.ts';
import type { Arrival, Arrivals } from './verify-gaps.ts';
import { readCentre } from './verify-passes.ts';
import type { Centre } from './verify-passes.ts';

/** Where records arrived, read independently of the mirror that sent them. */

export interface KafkaTopics {
  readonly topics: readonly string[];
  /** Where mirrors like this one put `_gaps`; it need not be there. */
  readonly gaps: string;
}

/**
 * Feeds everything committed in the central topics. Resolves with why `_gaps` could not be read, if
 * so. Throws UPSTREAM_*.
 */
export async function auditKafka(
  context: CliContext,
  kafka: KafkaUpstreamConfig,
  { topics, gaps }: KafkaTopics,
  arrivals: Arrivals,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { CommittedReader } = await import('../mirror/kafka/consume.ts');
  const { clock } = context;
  const reader = new CommittedReader({
    ...kafkaConnection(kafka),
    topics: topics.toSorted(gapsFirst),
    ifThere: topics.includes(gaps) ? undefined : gaps,
    clock,
    signal,
  });
  try {
    await readCentre(new KafkaCentre(reader, arrivals), arrivals.auditor, clock, signal);
    return reader.lacking;
  } finally {
    reader.close();
  }
}

/** What was sent again is no repeat only when that is known before. */
function gapsFirst(one: string, other: string): number {
  return Number(other.endsWith(GAPS)) - Number(one.endsWith(GAPS));
}

/** Feeds everything in the data folder of a central agent, which may be running. */
export async function auditLog(
  context: CliContext,
  folder: string,
  isWanted: (topic: string) => boolean,
  arrivals: Arrivals,
  signal: AbortSignal,
): Promise<void> {
  const centre = new LogCentre(context, folder, isWanted, arrivals, signal);
  await readCentre(centre, arrivals.auditor, context.clock, signal);
}

class KafkaCentre implements Centre {
  readonly #reader: CommittedReader;
  readonly #arrivals: Arrivals;
  readonly isStill: boolean = false;

  constructor(reader: CommittedReader, arrivals: Arrivals) {
    this.#reader = reader;
    this.#arrivals = arrivals;
  }

  get unread(): readonly UnreadRange[] {
    return this.#reader.unread;
  }

  async pass(): Promise<void> {
    for await (const records of this.#reader.pass()) {
      for (const { topic, partition, offset, key, identity, own: value = null } of records) {
        this.#arrivals.take({
          identity: identity === undefined ? undefined : parseIdentity(identity),
          key: keyText(key),
          value,
          at: { topic, partition, offset },
        });
      }
    }
  }
}

const WHOLE_TOPIC = {
  partition: undefined,
  from: 'beginning',
  follow: false,
  limit: undefined,
} as const;

/** The agent may stop, or start, between passes; while it is stopping there is neither way in. */
class LogCentre implements Centre {
  readonly #context: CliContext;
  readonly #folder: string;
  readonly #isWanted: (topic: string) => boolean;
  readonly #arrivals: Arrivals;
  readonly #signal: AbortSignal;
  /** By `topic/partition`: where to go on. */
  readonly #next = new Map<string, number>();
  readonly unread: readonly UnreadRange[] = [];
  isStill: boolean = false;
  #isFirst = true;

  constructor(
    context: CliContext,
    folder: string,
    isWanted: (topic: string) => boolean,
    arrivals: Arrivals,
    signal: AbortSignal,
  ) {
    this.#context = context;
    this.#folder = folder;
    this.#isWanted = (topic) => topic === GAPS || isWanted(topic);
    this.#arrivals = arrivals;
    this.#signal = signal;
  }

  async pass(): Promise<void> {
    await withAgentOrFolder(
      this.#context,
      this.#folder,
      () => this.#fromAgent(),
      (store) => this.#fromStore(store),
    );
    this.#isFirst = false;
  }

  async #fromAgent(): Promise<void> {
    const client = new ControlClient(this.#folder);
    const { topics } = await client.wholeStatus();
    for (const { name: topic, partitions } of topics.toSorted((one, other) =>
      gapsFirst(one.name, other.name),
    )) {
      if (!this.#isWanted(topic)) continue;
      if (this.#isFirst) {
        await this.#consume(client, { ...WHOLE_TOPIC, topic }, 'beginning');
        continue;
      }
      for (const { partition } of partitions) {
        const from = this.#next.get(`${topic}/${partition}`) ?? 0;
        await this.#consume(client, { ...WHOLE_TOPIC, topic, partition, from }, String(from));
      }
    }
  }

  async #consume(client: ControlClient, request: ConsumeRequest, from: string): Promise<void> {
    for await (const block of await client.consume(request, from, this.#signal)) {
      for (const line of block.split('\n')) {
        if (line !== '' && !line.startsWith(GAP_LINE)) this.#takeLine(line);
      }
    }
  }

  #takeLine(line: string): void {
    const record = JSON.parse(line) as RecordJson;
    const { topic, partition, offset, key, keyBase64, value = null, headers } = record;
    const identity = headers.findLast((header) => header.key === IDENTITY_HEADER)?.value ?? '';
    const bytes = keyBase64 === undefined ? key : Buffer.from(keyBase64, 'base64');
    const keyBytes = bytes === null || bytes === undefined ? null : Buffer.from(bytes);
    this.#take({
      identity: parseIdentity(identity),
      key: keyText(keyBytes),
      value,
      at: { topic, partition, offset },
    });
  }

  async #fromStore({ reader }: Store): Promise<void> {
    const topics = reader.topics().filter((topic) => this.#isWanted(topic.name));
    const isGaps = ({ name }: TopicInfo): boolean => name === GAPS;
    await this.#readTopics(reader, topics.filter(isGaps));
    await this.#readTopics(
      reader,
      topics.filter((topic) => !isGaps(topic)),
    );
    this.isStill = true;
  }

  async #readTopics(reader: LogReader, topics: readonly TopicInfo[]): Promise<void> {
    const streams = streamsOf(topics);
    if (streams.length === 0) return;
    const places = new Map(streams.map((place) => [place.stream, place]));
    const starts = streams.map(({ stream, topic, partition }): [StreamId, number] => {
      const next = this.#next.get(`${topic}/${partition}`);
      return [stream, next ?? reader.range(stream).startOffset];
    });
    const cursor = reader.cursor(new Map(starts));
    const limits = { maxRecords: LIMITS.readRecords, maxBytes: LIMITS.readBytes };
    try {
      while (!this.#signal.aborted) {
        const batch = await cursor.next(limits);
        if (batch.records === 0 && batch.gaps.length === 0) break;
        for (const { stream, records } of batch.slices) {
          const { topic, partition } = must(places.get(stream), 'a cursor reads what it was asked');
          for (const record of records) {
            this.#take({
              identity: identityOf(record),
              key: keyText(record.key),
              value: record.value,
              at: { topic, partition, offset: record.offset },
            });
          }
        }
      }
    } finally {
      await cursor.close();
    }
  }

  #take(arrival: Arrival): void {
    const { topic, partition, offset } = arrival.at;
    this.#next.set(`${topic}/${partition}`, offset + 1);
    this.#arrivals.take(arrival);
  }
}

function identityOf(record: LogRecord): ReturnType<typeof parseIdentity> {
  const header = decodeHeaders(record.headers).findLast(({ key }) => key === IDENTITY_HEADER);
  if (header?.value === undefined || header.value === null) return undefined;
  return parseIdentity(Buffer.from(header.value).toString('utf8'));
}

/** Stands for the key's bytes one to one. */
function keyText(key: Uint8Array | null): string | null {
  return key === null ? null : Buffer.from(key).toString('latin1');
}
