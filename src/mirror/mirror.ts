import { aborted } from '../abort.ts';
import { assert, must, unreachable } from '../assert.ts';
import type { Coverage } from '../coverage.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { LogFields } from '../telemetry.ts';
import type { Timer } from '../time.ts';
import { formatDuration } from '../units.ts';
import { BatchSize } from './batch-size.ts';
import { MirrorBook } from './book.ts';
import { Decisions, type PendingSeek } from './decisions.ts';
import { dispositionOf, silentForMs, waitingState } from './disposition.ts';
import { Link, type LinkOptions } from './link.ts';
import { MirrorLosses } from './losses.ts';
import { Pacer } from './pacer.ts';
import type { HoldStatus } from './policy/link-status.ts';
import type { PumpFailure, Settlement } from './pump.ts';
import { Placement } from './placement.ts';
import type { Resumption } from './positions.ts';
import { Quarantine } from './quarantine.ts';
import type { MirrorOptions } from './mirror-options.ts';
import { Sampling } from './sampling.ts';
import { type SeekRequest, seekOffsets } from './seek.ts';
import { sendsSomeFirst, streamsOf, type Treatment } from './selection.ts';
import { planSession } from './session-plan.ts';
import { type PendingSkip, type SkipRequest, skipOf } from './skip.ts';
import type { MirrorStatus } from './status.ts';
import { TopicChoice } from './topic-choice.ts';
import type { MirrorStream } from './upstream.ts';

/**
 * Sends topics of the log to one far side, for ever: connect → resume → pump → (failure → wait →
 * connect). A failure costs time, never records: positions move only on receipts. Everything that
 * changes what is mirrored (pause, seek, a new topic, a stopped one) ends the session in good
 * order and begins another; nothing is changed under a running one.
 */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #choice: TopicChoice;
  readonly #linkOptions: Omit<LinkOptions, 'observer' | 'treatmentOf' | 'skips' | 'sampling'>;
  readonly #book: MirrorBook;
  readonly #placement: Placement;
  readonly #quarantine: Quarantine;
  readonly #losses: MirrorLosses;
  readonly #sampling: Sampling;
  readonly #pacer: Pacer;
  readonly #batchSize: BatchSize;
  #decisions: Decisions | undefined;
  #running: Promise<void> | undefined;
  /** Aborts when what is mirrored must be thought over: ends sessions and waits. */
  #change = new AbortController();
  #stopping = false;
  #halted: string | undefined;
  #link: Link | undefined;
  readonly #timers = new Set<Timer>();
  #unsubscribe: () => void = () => {};

  constructor(options: MirrorOptions) {
    this.#options = options;
    const { name, upstream, reader, positions, clock, gateway, incarnation } = options;
    const logger = options.logger.child({ mirror: name });
    this.#choice = new TopicChoice(name, reader, options.topics);
    const treatmentOf = (topic: string): Treatment => this.#choice.treatmentOf(topic);
    const { ledger, policy, sampled: space } = options;
    const sampling = new Sampling({ space, policy, treatmentOf });
    this.#sampling = sampling;
    this.#book = new MirrorBook({ reader, ledger, clock, logger, treatmentOf, sampling });
    this.#pacer = new Pacer(options);
    this.#batchSize = new BatchSize(
      { ...options.upstream.batching, ...options.batching },
      { name, logger: options.logger, isPrompt: sendsSomeFirst(options.topics) },
    );
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
    const { matches } = this.#choice;
    const onPlaced = this.#book.place.bind(this.#book);
    this.#placement = new Placement({ reader, positions, matches, onPlaced });
    const hadOf = (stream: StreamId): Coverage => this.#book.hadOf(stream);
    this.#losses = new MirrorLosses(ledger, name, hadOf);
    const { sendMs = LIMITS.mirrorSendMs } = options;
    const window = (): number => options.window ?? this.#batchSize.window;
    const { drainMs = LIMITS.drainMs } = options;
    const { laneBounds, expiryNowMs } = options;
    const batching = policy?.batching(this.#batchSize) ?? this.#batchSize;
    const limits = { batching, window, sendMs, drainMs, laneBounds, expiryNowMs };
    this.#linkOptions = { upstream, reader, positions, clock, logger, policy, ...limits };
  }

  /** Resolves when the mirror is on its way; being unable to reach the far side is no error. */
  async start(): Promise<void> {
    assert(this.#running === undefined && !this.#stopping, 'a mirror starts once');
    this.#decisions = await Decisions.load(this.#options.decisions);
    await this.#sampling.load();
    await this.#placement.place(this.#options.startAt ?? 'beginning');
    this.#scanTopics();
    const { network } = this.#options;
    this.#unsubscribe = network?.subscribe(() => this.#networkChanged()) ?? this.#unsubscribe;
    await this.#options.policy?.start(() => this.#kick());
    this.#running = this.#run();
  }

  /** Ends the session in good order, waiting at most `drainMs` for the far side. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#unsubscribe();
    this.#kick();
    for (const timer of this.#timers) timer.cancel();
    const { clock, drainMs = LIMITS.drainMs } = this.#options;
    const done = new AbortController();
    const limit = clock.sleep(drainMs + LIMITS.closeMs, done.signal);
    await Promise.race([this.#running, limit]);
    done.abort();
    await this.#options.policy?.stop();
    this.#book.enter('stopped');
  }

  status(): MirrorStatus {
    const { name, clock, upstream } = this.#options;
    const silentMs = silentForMs(this.#link, clock.monotonicMs());
    const topics = this.#choice.topics();
    const slowness = upstream.slowness?.();
    const { policy } = this.#options;
    const sources = { name, topics, decisions: this.#decisions, silentMs, slowness };
    return { ...this.#book.status(sources), link: policy?.status() };
  }

  /** As `status`, with the age of the lag measured now (which may read the log). */
  async measure(): Promise<MirrorStatus> {
    await this.#book.lag.measure(this.#book.progress());
    return this.status();
  }

  /** The whole mirror, or one topic; survives restarts. Durable when resolved. */
  async pause(topic?: string): Promise<void> {
    if (topic !== undefined) this.#choice.require(topic);
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
    if (topic !== undefined) this.#choice.require(topic);
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
    const topic = this.#choice.require(request.topic);
    const seeks = await seekOffsets(this.#options.reader, topic, request.partition, request.to);
    const written = this.#decided.addSeeks(seeks);
    this.#log('warn', 'mirror.seek', { seeks }, `a person moved the position of ${topic.name}`);
    this.#kick();
    await written;
    return seeks;
  }

  /**
   * Leaves out the oldest records that were not sent, ledgered, and lets their topic take part again if
   * a failure had stopped it. Durable when resolved. What the far side turns out to have is not left
   * out. Throws NOT_FOUND and USAGE.
   */
  async skip(request: SkipRequest): Promise<PendingSkip> {
    const topic = this.#choice.require(request.topic);
    const skip = skipOf(this.#options.reader, topic, request, (one) => this.#book.hadOf(one));
    const written = this.#decided.addSkip(skip);
    this.#book.retryTopic(topic.name);
    this.#log('warn', 'mirror.skip', { skip }, `a person has records of ${topic.name} left out`);
    this.#kick();
    await written;
    return skip;
  }

  get #decided(): Decisions {
    return must(this.#decisions, 'the mirror was started');
  }

  #kick(): void {
    this.#change.abort();
  }

  #networkChanged(): void {
    this.#log('info', 'mirror.network', {}, 'the network changed: trying at once');
    this.#options.attempts?.forgive();
    this.#pacer.hurry();
    this.#link?.networkChanged();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      this.#change = new AbortController();
      const { signal } = this.#change;
      const { streams, hold } = this.#streamsToMirror();
      if (this.#rests(streams, hold)) {
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

  /** `hold`: why the link's policy lets none of them go. */
  #streamsToMirror(): { readonly streams: MirrorStream[]; readonly hold: HoldStatus | undefined } {
    const topics = this.#choice
      .topics()
      .filter(
        ({ name }) =>
          this.#decided.topicPausedSinceMs(name) === undefined && !this.#book.isStopped(name),
      );
    const { allowed, hold } = this.#sampling.allowed(topics);
    const streams = streamsOf(allowed).filter(({ stream }) => this.#placement.has(stream));
    return { streams, hold };
  }

  /** True when there is nothing to do until something changes. */
  #rests(streams: readonly MirrorStream[], hold: HoldStatus | undefined): boolean {
    if (this.#halted !== undefined) this.#book.enter('halted', this.#halted);
    else if (this.#decided.pausedSinceMs !== undefined) this.#book.enter('paused');
    else if (hold !== undefined) this.#book.enter(hold.cause, hold.reason, hold.untilMs);
    else if (streams.length === 0) this.#book.enter('idle', 'no topic to mirror');
    else return false;
    return true;
  }

  #scanTopics(): void {
    this.#later(LIMITS.mirrorTopicScanMs, () => {
      if (this.#placement.isComplete) this.#scanTopics();
      else void this.#adoptTopics();
    });
  }

  async #adoptTopics(): Promise<void> {
    try {
      await this.#placement.place('beginning');
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
    const { byStream, seeks, seek, skips, skipped } = planSession(streams, this.#decided);
    const link = new Link({
      ...this.#linkOptions,
      skips: skipped,
      sampling: this.#sampling.session(byStream, this.#losses),
      treatmentOf: (stream) => this.#choice.treatmentOf(mustGet(byStream, stream).topic),
      observer: {
        missing: (gaps) => this.#losses.missing(byStream, gaps),
        expired: (expired) => this.#losses.expired(byStream, expired),
        resuming: (resumption) => this.#losses.resuming(byStream, resumption, seek.keys()),
        begun: (resumption) => this.#begun(resumption, byStream, seeks),
        skipped: () => this.#decided.skipsDone(skips),
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
    for (const [stream, had] of positions) this.#book.place(mustGet(streams, stream), had);
    for (const { at, lost } of farBehind)
      for (const { from, to } of lost)
        this.#book.lost({
          stream: at.stream,
          fromOffset: from,
          toOffset: to,
          reason: 'far-behind',
        });
    this.#quarantine.passed(positions);
    await this.#decided.seeksDone(seeks);
    if (this.#options.upstream.tellsPace === true) this.#batchSize.begin();
    this.#book.sessionBegun();
    this.#book.enter('catching up');
    this.#log('info', 'mirror.connected', { streams: streams.size }, 'the far side is connected');
  }

  #settled(settlement: Settlement): void {
    this.#book.settled(settlement);
    this.#quarantine.passed(settlement.positions);
    this.#pacer.succeeded();
    this.#batchSize.settled(settlement.batch);
    this.#options.policy?.settled(settlement.batch);
    if (settlement.pace !== undefined) this.#batchSize.follow(settlement.pace, settlement);
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
          this.#book.enter(waitingState(failure), text, this.#options.clock.nowMs() + waitMs),
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

function mustGet<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  return must(map.get(key), 'streams of a session stay the same throughout');
}
