import { assert, must, unreachable } from '../assert.ts';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { TopicInfo } from '../store/log.ts';
import type { LogFields } from '../telemetry.ts';
import type { Timer } from '../time.ts';
import { formatDuration } from '../units.ts';
import { BatchSize } from './batch-size.ts';
import { MirrorBook } from './book.ts';
import { Decisions, type PendingSeek } from './decisions.ts';
import { dispositionOf } from './disposition.ts';
import { Link, type LinkOptions } from './link.ts';
import { MirrorLosses } from './losses.ts';
import { Pacer } from './pacer.ts';
import type { PumpFailure, Settlement } from './pump.ts';
import type { Resumption } from './positions.ts';
import { Quarantine } from './quarantine.ts';
import type { MirrorOptions } from './mirror-options.ts';
import { type SeekRequest, seekOffsets } from './seek.ts';
import { selectTopics, streamsOf, topicMatcher } from './selection.ts';
import type { MirrorStatus } from './status.ts';
import type { MirrorStream } from './upstream.ts';

/**
 * Sends topics of the log to one far side, for ever: connect → resume → pump → (failure → wait →
 * connect). A failure costs time, never records: positions move only on receipts. Everything that
 * changes what is mirrored (pause, seek, a new topic, a stopped one) ends the session in good
 * order and begins another; nothing is changed under a running one.
 */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #matches: (topic: string) => boolean;
  readonly #linkOptions: Omit<LinkOptions, 'observer'>;
  readonly #book: MirrorBook;
  readonly #quarantine: Quarantine;
  readonly #losses: MirrorLosses;
  readonly #pacer: Pacer;
  readonly #batchSize: BatchSize;
  #decisions: Decisions | undefined;
  #running: Promise<void> | undefined;
  /** Aborts when what is mirrored must be thought over: ends sessions and waits. */
  #change = new AbortController();
  #stopping = false;
  #halted: string | undefined;
  #link: Link | undefined;
  readonly #placed = new Set<StreamId>();
  readonly #timers = new Set<Timer>();

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#matches = topicMatcher(options.topics);
    const { name, upstream, reader, positions, clock, gateway, incarnation } = options;
    const logger = options.logger.child({ mirror: name });
    this.#book = new MirrorBook(reader, clock, logger);
    this.#pacer = new Pacer(options);
    this.#batchSize = new BatchSize({ ...options.upstream.batching, ...options.batching }, options);
    this.#quarantine = new Quarantine({
      ...options.quarantine,
      mirror: name,
      gateway,
      incarnation,
      onKept: (streams, refused) => {
        this.#book.refused(refused);
        return this.#losses.refused(streams, refused);
      },
    });
    const positionOf = (stream: StreamId): number => this.#book.positionOf(stream);
    this.#losses = new MirrorLosses(options.ledger, name, positionOf);
    const { window = LIMITS.mirrorWindow, sendMs = LIMITS.mirrorSendMs } = options;
    const { drainMs = LIMITS.drainMs } = options;
    const limits = { batching: this.#batchSize, window, sendMs, drainMs };
    this.#linkOptions = { upstream, reader, positions, clock, logger, ...limits };
  }

  /** Resolves when the mirror is on its way; being unable to reach the far side is no error. */
  async start(): Promise<void> {
    assert(this.#running === undefined && !this.#stopping, 'a mirror starts once');
    this.#decisions = await Decisions.load(this.#options.decisions);
    await this.#placeNewStreams(this.#options.startAt ?? 'beginning');
    this.#scanTopics();
    this.#running = this.#run();
  }

  /** Ends the session in good order, waiting at most `drainMs` for the far side. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#kick();
    for (const timer of this.#timers) timer.cancel();
    const { clock, drainMs = LIMITS.drainMs } = this.#options;
    const done = new AbortController();
    const limit = clock.sleep(drainMs + LIMITS.closeMs, done.signal);
    await Promise.race([this.#running, limit]);
    done.abort();
    this.#book.enter('stopped');
  }

  status(): MirrorStatus {
    const { name, clock, reader } = this.#options;
    const waitingSince = this.#link?.waitingSinceMs;
    const stalled =
      waitingSince !== undefined && clock.monotonicMs() - waitingSince >= LIMITS.mirrorStalledMs;
    const topics = selectTopics(reader, this.#matches);
    return this.#book.status(name, topics, this.#decisions, stalled);
  }

  /** As `status`, with the age of the lag measured now (which may read the log). */
  async measure(): Promise<MirrorStatus> {
    await this.#book.lag.measure(this.#book.progress());
    return this.status();
  }

  /** The whole mirror, or one topic; survives restarts. Durable when resolved. */
  async pause(topic?: string): Promise<void> {
    if (topic !== undefined) this.#requireTopic(topic);
    const nowMs = this.#options.clock.nowMs();
    const written =
      topic === undefined ? this.#decided.pause(nowMs) : this.#decided.pauseTopic(topic, nowMs);
    this.#log('info', 'mirror.pause', { topic }, `paused ${topic ?? 'the whole mirror'}`);
    this.#kick();
    await written;
  }

  /**
   * Undoes `pause` of the same scope, and brings back what a failure stopped: without a topic the
   * whole mirror (halted, backing off) and all stopped topics.
   */
  async resume(topic?: string): Promise<void> {
    if (topic !== undefined) this.#requireTopic(topic);
    const written = topic === undefined ? this.#decided.resume() : this.#decided.resumeTopic(topic);
    if (topic === undefined) this.#halted = undefined;
    this.#book.retryTopic(topic);
    this.#pacer.succeeded();
    this.#log('info', 'mirror.resume', { topic }, `resumed ${topic ?? 'the whole mirror'}`);
    this.#kick();
    await written;
  }

  /**
   * Goes on from another place. Durable when resolved; takes effect with the next session, which
   * begins at once unless the mirror is paused or the far side away. Forward skips records,
   * backward sends them again. Throws NOT_FOUND and USAGE.
   */
  async seek(request: SeekRequest): Promise<readonly PendingSeek[]> {
    const topic = this.#requireTopic(request.topic);
    const seeks = await seekOffsets(this.#options.reader, topic, request.partition, request.to);
    const written = this.#decided.addSeeks(seeks);
    this.#log('warn', 'mirror.seek', { seeks }, `a person moved the position of ${topic.name}`);
    this.#kick();
    await written;
    return seeks;
  }

  get #decided(): Decisions {
    return must(this.#decisions, 'the mirror was started');
  }

  #requireTopic(name: string): TopicInfo {
    const topic = this.#options.reader.topic(name);
    if (topic !== undefined && this.#matches(name)) return topic;
    const known = selectTopics(this.#options.reader, this.#matches).map((info) => info.name);
    throw new GatelogError(
      'NOT_FOUND',
      `mirror ${this.#options.name} has no topic ${name}; it has: ${known.join(', ') || 'none'}`,
    );
  }

  #kick(): void {
    this.#change.abort();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      this.#change = new AbortController();
      const { signal } = this.#change;
      const streams = this.#streamsToMirror();
      if (this.#rests(streams)) {
        await aborted(signal);
        continue;
      }
      const failure = await this.#round(streams, signal);
      if (failure !== undefined && !this.#stopping) await this.#recover(failure, streams, signal);
    }
  }

  async #round(
    streams: readonly MirrorStream[],
    signal: AbortSignal,
  ): Promise<PumpFailure | undefined> {
    try {
      return await this.#session(streams, signal);
    } catch (error) {
      return { error, local: true };
    }
  }

  #streamsToMirror(): MirrorStream[] {
    const topics = selectTopics(this.#options.reader, this.#matches).filter(
      ({ name }) =>
        this.#decided.topicPausedSinceMs(name) === undefined && !this.#book.isStopped(name),
    );
    return streamsOf(topics).filter(({ stream }) => this.#placed.has(stream));
  }

  /** True when there is nothing to do until something changes. */
  #rests(streams: readonly MirrorStream[]): boolean {
    if (this.#halted !== undefined) this.#book.enter('halted', this.#halted);
    else if (this.#decided.pausedSinceMs !== undefined) this.#book.enter('paused');
    else if (streams.length === 0) this.#book.enter('idle', 'no topic to mirror');
    else return false;
    return true;
  }

  /** Gives streams seen for the first time their position, stored at once so that it pins. */
  async #placeNewStreams(startAt: 'beginning' | 'end'): Promise<void> {
    const { reader, positions } = this.#options;
    const initial = new Map<StreamId, number>();
    const fresh: [MirrorStream, number][] = [];
    for (const at of streamsOf(selectTopics(reader, this.#matches))) {
      if (this.#placed.has(at.stream)) continue;
      const range = reader.range(at.stream);
      const stored = positions.get(at.stream);
      const first = startAt === 'beginning' ? range.startOffset : range.endOffset;
      if (stored === undefined) initial.set(at.stream, first);
      fresh.push([at, stored ?? first]);
    }
    if (initial.size > 0) await positions.advance(initial);
    for (const [at, position] of fresh) {
      this.#book.place(at, position);
      this.#placed.add(at.stream);
    }
  }

  #scanTopics(): void {
    this.#later(LIMITS.mirrorTopicScanMs, () => {
      const seen = streamsOf(selectTopics(this.#options.reader, this.#matches));
      if (seen.every(({ stream }) => this.#placed.has(stream))) this.#scanTopics();
      else void this.#adoptTopics();
    });
  }

  async #adoptTopics(): Promise<void> {
    try {
      await this.#placeNewStreams('beginning');
      this.#kick();
    } catch (error) {
      // The next scan tries again.
      this.#log('warn', 'mirror.adopt', { error }, `a new topic waits: ${messageOf(error)}`);
    }
    this.#scanTopics();
  }

  #later(delayMs: number, task: () => void): void {
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#stopping) task();
    });
    this.#timers.add(timer);
  }

  /** undefined when it ended because something changed. */
  async #session(
    streams: readonly MirrorStream[],
    signal: AbortSignal,
  ): Promise<PumpFailure | undefined> {
    const byPlace = new Map(streams.map((at) => [placeName(at), at]));
    const seeks = this.#decided.seeks.filter((seek) => byPlace.has(placeName(seek)));
    const seek = new Map(seeks.map((one) => [mustGet(byPlace, placeName(one)).stream, one.offset]));
    const byStream = new Map(streams.map((at) => [at.stream, at]));
    const link = new Link({
      ...this.#linkOptions,
      observer: {
        missing: (gaps) => this.#losses.missing(byStream, gaps),
        resuming: (resumption) => this.#losses.resuming(byStream, resumption, seek.keys()),
        begun: (resumption) => this.#begun(resumption, byStream, seeks),
        quarantine: (...refused) => this.#quarantine.put(byStream, ...refused),
        settled: (settlement) => this.#settled(settlement),
        undelivered: (...failure) => this.#batchSize.undelivered(...failure),
        atEnd: (atEnd) => this.#book.enter(atEnd ? 'live' : 'catching up'),
      },
    });
    this.#book.enter('connecting');
    this.#link = link;
    const failure = await this.#pacer.timed(() => link.run(streams, seek, signal));
    this.#link = undefined;
    return failure;
  }

  async #begun(
    { positions, farBehind }: Resumption,
    streams: ReadonlyMap<StreamId, MirrorStream>,
    seeks: readonly PendingSeek[],
  ): Promise<void> {
    for (const [stream, position] of positions)
      this.#book.place(mustGet(streams, stream), position);
    for (const { at, far: fromOffset, from: toOffset } of farBehind)
      this.#book.lost({ stream: at.stream, fromOffset, toOffset, reason: 'far-behind' });
    this.#quarantine.passed(positions);
    await this.#decided.seeksDone(seeks);
    this.#book.sessionBegun();
    this.#book.enter('catching up');
    this.#log('info', 'mirror.connected', { streams: streams.size }, 'the far side is connected');
  }

  #settled(settlement: Settlement): void {
    this.#book.settled(settlement);
    this.#quarantine.passed(settlement.positions);
    this.#pacer.succeeded();
    this.#batchSize.settled(settlement.batch);
  }

  async #recover(
    failure: PumpFailure,
    streams: readonly MirrorStream[],
    signal: AbortSignal,
  ): Promise<void> {
    const text = messageOf(failure.error);
    const error = failure.error;
    this.#book.failed(text);
    const disposition = dispositionOf(failure, this.#options.upstream, streams);
    switch (disposition.kind) {
      case 'halt':
        this.#halted = text;
        this.#log('error', 'mirror.halted', { error }, `halted until a person acts: ${text}`);
        return;
      case 'stop-topic':
        this.#stopTopic(disposition.topic, text);
        return;
      case 'retry':
        await this.#pacer.wait(text, signal, (waitMs) =>
          this.#book.enter('backing off', text, this.#options.clock.nowMs() + waitMs),
        );
        return;
      default:
        unreachable(disposition);
    }
  }

  #stopTopic(topic: string, reason: string): void {
    this.#book.stopTopic(topic, reason);
    const { stoppedTopicRetryMs = LIMITS.stoppedTopicRetryMs } = this.#options;
    this.#log(
      'error',
      'mirror.topic-stopped',
      { topic, reason },
      `topic ${topic} stopped, the others go on; next try in ${formatDuration(stoppedTopicRetryMs)}: ${reason}`,
    );
    this.#later(stoppedTopicRetryMs, () => {
      if (!this.#book.isStopped(topic)) return;
      this.#book.retryTopic(topic);
      this.#kick();
    });
  }

  #log(level: 'info' | 'warn' | 'error', event: string, fields: LogFields, message: string): void {
    const { name, logger } = this.#options;
    logger[level]({ event, mirror: name, ...fields }, `mirror ${name}: ${message}`);
  }
}

function placeName(at: { readonly topic: string; readonly partition: number }): string {
  return `${at.topic}/${at.partition}`;
}

function mustGet<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  return must(map.get(key), 'streams of a session stay the same throughout');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
