import { must } from '../assert.ts';
import { type Coverages, holesIn } from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import { decodeHeaders, encodeHeaders, type Header } from '../headers.ts';
import { formatIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import type { LogRecord, StreamId } from '../record.ts';
import type { LogWriter, TopicInfo } from '../store/log.ts';
import { timeHeaders } from '../time-headers.ts';
import type { Refused } from './pump.ts';
import type { MirrorStream } from './upstream.ts';

export interface QuarantineOptions {
  readonly writer: LogWriter;
  /** `_quarantine`, one partition. */
  readonly topic: TopicInfo;
  readonly mirror: string;
  readonly gateway: string;
  readonly incarnation: string;
  /** Told of each record that was put aside, once, many at a time; awaited. */
  readonly onKept: (
    streams: ReadonlyMap<StreamId, MirrorStream>,
    refused: readonly Refused[],
  ) => Promise<void>;
}

/**
 * Keeps records that the far side will never take: key, value and headers as they were, plus why,
 * whence and by which mirror. A record may come twice (a crash between quarantine and position, a
 * person's seek); its source identity tells. A session that fails in between makes no repeats: what
 * it put aside is remembered until the position is beyond it.
 */
export class Quarantine {
  readonly #options: QuarantineOptions;
  /** Stored, and not yet passed by the position: the next session will see them refused again. */
  readonly #kept = new Map<StreamId, Set<number>>();
  /** The part on its way to the disk, perhaps of a session that is over. Never rejects. */
  #storing: Promise<unknown> = Promise.resolve();
  #untold: Refused[] = [];

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /**
   * Part by part, each appended at once so that one commit covers it; `progress` is told after
   * each. All are durable when resolved. Rejects at once when `signal` aborts.
   */
  async put(
    streams: ReadonlyMap<StreamId, MirrorStream>,
    refused: readonly Refused[],
    signal: AbortSignal,
    progress: () => void,
  ): Promise<void> {
    try {
      for (const part of partsOf(refused)) {
        await unlessAborted(this.#ready(), signal);
        const stored = this.#store(streams, part);
        this.#storing = stored.catch(() => {}); // Told to who waits for it, if anybody still does.
        await unlessAborted(stored, signal);
        progress();
      }
    } finally {
      const told = this.#untold;
      this.#untold = [];
      await this.#options.onKept(streams, told);
    }
  }

  /** What the mirror has behind it. */
  passed(positions: Coverages): void {
    for (const [stream, offsets] of this.#kept) {
      const had = positions.get(stream);
      if (had === undefined) continue;
      for (const offset of offsets) {
        if (holesIn(had, offset, offset + 1).length === 0) offsets.delete(offset);
      }
      if (offsets.size === 0) this.#kept.delete(stream);
    }
  }

  async #ready(): Promise<void> {
    await this.#storing;
    const { writer } = this.#options;
    if (writer.pendingBytes() > LIMITS.pendingBytes) await writer.relieved();
  }

  /** Ends when every append was answered, so that what is kept is known even if one failed. */
  async #store(
    streams: ReadonlyMap<StreamId, MirrorStream>,
    part: readonly Refused[],
  ): Promise<void> {
    const fresh = part.filter(({ stream, record }) => !this.#isKept(stream, record.offset));
    const results = await Promise.allSettled(
      fresh.map((one) =>
        this.#keep(must(streams.get(one.stream), 'a stream of this session'), one),
      ),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #isKept(stream: StreamId, offset: number): boolean {
    return this.#kept.get(stream)?.has(offset) === true;
  }

  async #keep(source: MirrorStream, refused: Refused): Promise<void> {
    const { stream, record } = refused;
    // One of the quarantine itself is there: put aside again it would come again, for ever.
    if (!this.#options.topic.streams.includes(stream)) await this.#copy(source, refused);
    this.#untold.push(refused);
    const kept = this.#kept.get(stream);
    if (kept === undefined) this.#kept.set(stream, new Set([record.offset]));
    else kept.add(record.offset);
  }

  async #copy(source: MirrorStream, { record, reason }: Refused): Promise<void> {
    const { topic, partition } = source;
    const { gateway, incarnation, mirror } = this.#options;
    const { offset } = record;
    const identity = formatIdentity({ gateway, incarnation, topic, partition, offset });
    const added: Header[] = [
      { key: 'gatelog.quarantine.reason', value: Buffer.from(reason.slice(0, LIMITS.reasonChars)) },
      { key: 'gatelog.quarantine.source', value: Buffer.from(identity) },
      { key: 'gatelog.quarantine.mirror', value: Buffer.from(mirror) },
    ];
    const headers = [...decodeHeaders(record.headers), ...timeHeaders(record.time)];
    try {
      await this.#append(record, record.value, encodeHeaders([...headers, ...added]));
    } catch (error) {
      if (!(error instanceof GatelogError) || error.code !== 'RECORD_TOO_LARGE') throw error;
      // The added headers made it too large for the log itself: keep all but the value, which is
      // still at its source offset for as long as retention leaves it there.
      const bytes = Buffer.from(String(record.value?.length ?? 0));
      added.push({ key: 'gatelog.quarantine.value-bytes', value: bytes });
      await this.#append(record, null, encodeHeaders(added));
    }
  }

  #append(record: LogRecord, value: Uint8Array | null, headers: Uint8Array): Promise<void> {
    const { writer, topic } = this.#options;
    const stream = must(topic.streams[0], 'the quarantine topic has one partition');
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => {
        if (error === null) resolve();
        else reject(error);
      };
      const { key, timestampMs } = record;
      writer.append(stream, timestampMs, key, value, headers, 'fsync', done, true);
    });
  }
}

function* partsOf(refused: readonly Refused[]): Generator<readonly Refused[]> {
  let from = 0;
  let bytes = 0;
  for (const [index, { record }] of refused.entries()) {
    const size = (record.key?.length ?? 0) + (record.value?.length ?? 0) + record.headers.length;
    const isFull =
      index - from >= LIMITS.quarantinePartRecords || bytes + size > LIMITS.quarantinePartBytes;
    if (isFull && index > from) {
      yield refused.slice(from, index);
      from = index;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < refused.length) yield refused.slice(from);
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void =>
    aborted.reject(
      new GatelogError('UPSTREAM_UNREACHABLE', 'the session ended while records were put aside'),
    );
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
