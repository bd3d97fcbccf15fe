import { GAP_LINE } from '../admin/consume.ts';
import type { ConsumeRequest } from '../admin/consume.ts';
import { ControlClient } from '../admin/control-client.ts';
import type { RecordJson } from '../admin/record-json.ts';
import { kafkaConnection } from '../agent/mirrors.ts';
import type { KafkaUpstreamConfig } from '../agent/config-types.ts';
import { must } from '../assert.ts';
import { decodeHeaders } from '../headers.ts';
import { IDENTITY_HEADER, parseIdentity } from '../identity.ts';
import type { RecordIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import type { AuditPlace, Auditor, UnreadRange } from '../mirror/audit.ts';
import type { CommittedReader } from '../mirror/kafka/consume.ts';
import { topicMatcher } from '../mirror/selection.ts';
import type { LogRecord, StreamId } from '../record.ts';
import type { Store } from '../store/log.ts';
import type { CliContext } from './context.ts';
import { withAgentOrFolder } from './folder.ts';
import { readCentre } from './verify-passes.ts';
import type { Centre } from './verify-passes.ts';

/** Where records arrived, read independently of the mirror that sent them. */

/** Feeds everything committed in the central topics. Throws UPSTREAM_*. */
export async function auditKafka(
  context: CliContext,
  kafka: KafkaUpstreamConfig,
  topics: readonly string[],
  auditor: Auditor,
  signal: AbortSignal,
): Promise<void> {
  const { CommittedReader } = await import('../mirror/kafka/consume.ts');
  const { clock } = context;
  const reader = new CommittedReader({ ...kafkaConnection(kafka), topics, clock, signal });
  try {
    await readCentre(new KafkaCentre(reader, auditor), auditor, clock, signal);
  } finally {
    reader.close();
  }
}

/** Feeds everything in the data folder of a central agent, which may be running. */
export async function auditLog(
  context: CliContext,
  folder: string,
  topics: readonly string[] | undefined,
  auditor: Auditor,
  signal: AbortSignal,
): Promise<void> {
  const centre = new LogCentre(context, folder, topics, auditor, signal);
  await readCentre(centre, auditor, context.clock, signal);
}

class KafkaCentre implements Centre {
  readonly #reader: CommittedReader;
  readonly #auditor: Auditor;
  readonly isStill: boolean = false;

  constructor(reader: CommittedReader, auditor: Auditor) {
    this.#reader = reader;
    this.#auditor = auditor;
  }

  get unread(): readonly UnreadRange[] {
    return this.#reader.unread;
  }

  async pass(): Promise<void> {
    for await (const records of this.#reader.pass()) {
      for (const { topic, partition, offset, key, identity } of records) {
        const parsed = identity === undefined ? undefined : parseIdentity(identity);
        this.#auditor.feed(parsed, keyText(key), { topic, partition, offset });
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
  readonly #auditor: Auditor;
  readonly #signal: AbortSignal;
  /** By `topic/partition`: where to go on. */
  readonly #next = new Map<string, number>();
  readonly unread: readonly UnreadRange[] = [];
  isStill: boolean = false;
  #isFirst = true;

  constructor(
    context: CliContext,
    folder: string,
    topics: readonly string[] | undefined,
    auditor: Auditor,
    signal: AbortSignal,
  ) {
    this.#context = context;
    this.#folder = folder;
    this.#isWanted = topicMatcher(topics ?? ['*']);
    this.#auditor = auditor;
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
    for (const { name: topic, partitions } of (await client.status()).topics) {
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
    const { topic, partition, offset, key, keyBase64, headers } = JSON.parse(line) as RecordJson;
    const identity = headers.findLast((header) => header.key === IDENTITY_HEADER)?.value ?? '';
    const bytes = keyBase64 === undefined ? key : Buffer.from(keyBase64, 'base64');
    const keyBytes = bytes === null || bytes === undefined ? null : Buffer.from(bytes);
    this.#take(parseIdentity(identity), keyBytes, { topic, partition, offset });
  }

  async #fromStore({ reader }: Store): Promise<void> {
    const streams = reader
      .topics()
      .filter((topic) => this.#isWanted(topic.name))
      .flatMap((topic) =>
        topic.streams.map((stream, partition) => ({ stream, topic: topic.name, partition })),
      );
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
            this.#take(identityOf(record), record.key, { topic, partition, offset: record.offset });
          }
        }
      }
    } finally {
      await cursor.close();
    }
    this.isStill = true;
  }

  #take(identity: RecordIdentity | undefined, key: Uint8Array | null, at: AuditPlace): void {
    this.#next.set(`${at.topic}/${at.partition}`, at.offset + 1);
    this.#auditor.feed(identity, keyText(key), at);
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
