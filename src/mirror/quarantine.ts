import { must } from '../assert.ts';
import { GatelogError } from '../errors.ts';
import { decodeHeaders, encodeHeaders, type Header } from '../headers.ts';
import { formatIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import type { LogRecord } from '../record.ts';
import type { LogWriter, TopicInfo } from '../store/log.ts';
import type { MirrorStream } from './upstream.ts';

export interface QuarantineOptions {
  readonly writer: LogWriter;
  /** `_quarantine`, one partition. */
  readonly topic: TopicInfo;
  readonly mirror: string;
  readonly gateway: string;
  readonly incarnation: string;
}

/**
 * Keeps a record that the far side will never take: key, value and headers as they were, plus why,
 * whence and by which mirror. Durable when resolved. A record may come twice (a crash between
 * quarantine and position, a person's seek); its source identity tells.
 */
export async function quarantineRecord(
  options: QuarantineOptions,
  source: MirrorStream,
  record: LogRecord,
  reason: string,
): Promise<void> {
  const { topic, partition } = source;
  const { gateway, incarnation } = options;
  const identity = formatIdentity({
    gateway,
    incarnation,
    topic,
    partition,
    offset: record.offset,
  });
  const added: Header[] = [
    { key: 'gatelog.quarantine.reason', value: Buffer.from(reason.slice(0, LIMITS.reasonChars)) },
    { key: 'gatelog.quarantine.source', value: Buffer.from(identity) },
    { key: 'gatelog.quarantine.mirror', value: Buffer.from(options.mirror) },
  ];
  const headers = decodeHeaders(record.headers);
  try {
    await append(options, record, record.value, encodeHeaders([...headers, ...added]));
  } catch (error) {
    if (!(error instanceof GatelogError) || error.code !== 'RECORD_TOO_LARGE') throw error;
    // The added headers made it too large for the log itself: keep all but the value, which is
    // still at its source offset for as long as retention leaves it there.
    const bytes = Buffer.from(String(record.value?.length ?? 0));
    added.push({ key: 'gatelog.quarantine.value-bytes', value: bytes });
    await append(options, record, null, encodeHeaders(added));
  }
}

function append(
  options: QuarantineOptions,
  record: LogRecord,
  value: Uint8Array | null,
  headers: Uint8Array,
): Promise<void> {
  const stream = must(options.topic.streams[0], 'the quarantine topic has one partition');
  return new Promise((resolve, reject) => {
    const done = (error: Error | null): void => {
      if (error === null) resolve();
      else reject(error);
    };
    const { timestampMs, key } = record;
    options.writer.append(stream, timestampMs, key, value, headers, 'fsync', done);
  });
}
