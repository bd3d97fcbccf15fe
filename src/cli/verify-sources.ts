import { GAP_LINE } from '../admin/consume.ts';
import { ControlClient } from '../admin/control-client.ts';
import type { RecordJson } from '../admin/record-json.ts';
import { kafkaConnection } from '../agent/mirrors.ts';
import type { Config, KafkaUpstreamConfig, MirrorConfig } from '../agent/config-types.ts';
import { decodeHeaders } from '../headers.ts';
import { IDENTITY_HEADER, parseIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import type { Auditor } from '../mirror/audit.ts';
import { centralTopicName } from '../mirror/kafka/layout.ts';
import { topicMatcher } from '../mirror/selection.ts';
import type { LogRecord } from '../record.ts';
import type { Store } from '../store/log.ts';
import type { CliContext } from './context.ts';
import { withAgentOrFolder } from './folder.ts';

/** Where records arrived, read independently of the mirror that sent them. */

/** Feeds everything committed in the central topics. Throws UPSTREAM_*. */
export async function auditKafka(
  context: CliContext,
  kafka: KafkaUpstreamConfig,
  topics: readonly string[],
  auditor: Auditor,
  signal: AbortSignal,
): Promise<void> {
  const { consumeCommitted } = await import('../mirror/kafka/consume.ts');
  const options = { ...kafkaConnection(kafka), topics, clock: context.clock, signal };
  for await (const records of consumeCommitted(options)) {
    for (const { topic, partition, offset, key, identity } of records) {
      const parsed = identity === undefined ? undefined : parseIdentity(identity);
      auditor.feed(parsed, keyText(key), { topic, partition, offset });
    }
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
  await withAgentOrFolder(
    context,
    folder,
    () => feedFromAgent(folder, topics, auditor, signal),
    (store) => feedStore(store, topics, auditor, signal),
  );
}

async function feedFromAgent(
  folder: string,
  wanted: readonly string[] | undefined,
  auditor: Auditor,
  signal: AbortSignal,
): Promise<void> {
  const client = new ControlClient(folder);
  const isWanted = topicMatcher(wanted ?? ['*']);
  for (const { name } of (await client.status()).topics) {
    if (!isWanted(name)) continue;
    const request = { ...WHOLE_TOPIC, topic: name };
    for await (const block of await client.consume(request, 'beginning', signal)) {
      for (const line of block.split('\n')) {
        if (line !== '' && !line.startsWith(GAP_LINE)) feedLine(auditor, line);
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

function feedLine(auditor: Auditor, line: string): void {
  const { topic, partition, offset, key, keyBase64, headers } = JSON.parse(line) as RecordJson;
  const identity = headers.findLast((header) => header.key === IDENTITY_HEADER)?.value ?? '';
  const bytes = keyBase64 === undefined ? key : Buffer.from(keyBase64, 'base64');
  const keyBytes = bytes === null || bytes === undefined ? null : Buffer.from(bytes);
  auditor.feed(parseIdentity(identity), keyText(keyBytes), { topic, partition, offset });
}

async function feedStore(
  store: Store,
  wanted: readonly string[] | undefined,
  auditor: Auditor,
  signal: AbortSignal,
): Promise<void> {
  const { reader } = store;
  const isWanted = topicMatcher(wanted ?? ['*']);
  const streams = reader
    .topics()
    .filter((topic) => isWanted(topic.name))
    .flatMap((topic) =>
      topic.streams.map((stream, partition) => ({ stream, topic: topic.name, partition })),
    );
  const places = new Map(streams.map((place) => [place.stream, place]));
  const cursor = reader.cursor(
    new Map(streams.map(({ stream }) => [stream, reader.range(stream).startOffset])),
  );
  const limits = { maxRecords: LIMITS.readRecords, maxBytes: LIMITS.readBytes };
  try {
    while (!signal.aborted) {
      const batch = await cursor.next(limits);
      if (batch.records === 0 && batch.gaps.length === 0) return;
      for (const { stream, records } of batch.slices) {
        const place = places.get(stream);
        if (place === undefined) continue;
        const { topic, partition } = place;
        for (const record of records) {
          const at = { topic, partition, offset: record.offset };
          auditor.feed(identityOf(record), keyText(record.key), at);
        }
      }
    }
  } finally {
    await cursor.close();
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

/** The central topics that a mirror sends to, as far as `known` names the local ones. */
export function centralTopics(
  config: Config,
  mirror: MirrorConfig,
  kafka: KafkaUpstreamConfig,
  known: Iterable<string>,
): string[] {
  const isMirrored = topicMatcher(mirror.topics);
  return [...known]
    .filter((topic) => isMirrored(topic))
    .map((topic) => centralTopicName(kafka.topic, topic, config.gateway));
}
