import { aborted } from '../abort.ts';
import { assert, must, unreachable } from '../assert.ts';
import type { Coverage } from '../coverage.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { LogFields } from '../telemetry.ts';
import { type Timer, untilBeat } from '../time.ts';
import { formatDuration } from '../units.ts';
import { BatchSize } from './batch-size.ts';
import { MirrorBook } from './book.ts';
import { Decisions, type PendingSeek } from './decisions.ts';
import { answersOf, dispositionOf, unansweredForMs, waitingState } from './disposition.ts';
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
import type { SeekRequest } from './seek.ts';
import { sendsSomeFirst, streamsOf, type Treatment } from './selection.ts';
import { planSession } from './session-plan.ts';
import type { PendingSkip, SkipRequest } from './skip.ts';
import type { MirrorStatus } from './status.ts';
import { type Resumed, Steering } from './steering.ts';
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
  readonly #steering: Steering;
  readonly #pacer: Pacer;
  readonly #batchSize: BatchSize;
  #decisions: Decisions | undefined;
  #running: Promise<void> | undefined;
  /** Aborts when what is mirrored must be thought over: ends sessions and waits. */
  #change = new AbortController();
  #stopping = false;
  #halted: string | undefined;
  /** Why the session before ended, or did not come about; until one stands. */
  #trouble: string | undefined;
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
    this.#steering = new Steering({
      reader,
      clock,
      choice: this.#choice,
      book: this.#book,
      decisions: () => this.#decided,
      log: this.#log.bind(this),
      kick: () => this.#kick(),
      freed: (topic) => {
        if (topic === undefined) this.#halted = undefined;
        this.#pacer.succeeded();
      },
    });
    this.#batchSize = new BatchSize(
      { ...options.upstream.batching, ...options.batching },
      { ...options, isPrompt: sendsSomeFirst(options.topics) },
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
    const { drainMs = LIMITS.drainMs, laneBounds, expiryNowMs } = options;
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

  /** Resolves when it writes nothing any more, which may be later than `stop`. */
  get ended(): Promise<void> | undefined {
    return this.#running;
  }

  status(): MirrorStatus {
    const { name, clock, upstream, policy } = this.#options;
    const answers = answersOf(this.#link, clock.monotonicMs());
    const told = { name, decisions: this.#decisions, slowness: upstream.slowness?.() };
    const sources = { ...told, answers, topics: this.#choice.topics() };
    return { ...this.#book.status(sources), link: policy?.status() };
  }

  /** As `status`, with the age of the lag measured now (which may read the log), unless the disk keeps one waiting. */
  async measure(): Promise<MirrorStatus> {
    await this.#book.measure();
    return this.status();
  }

  pause(topic?: string): Promise<void> {
    return this.#steering.pause(topic);
  }

  resume(topic?: string): Promise<Resumed> {
    return this.#steering.resume(topic);
  }

  seek(request: SeekRequest): Promise<readonly PendingSeek[]> {
    return this.#steering.seek(request);
  }

  skip(request: SkipRequest): Promise<PendingSkip> {
    return this.#steering.skip(request);
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
    else if (streams.length === 0) this.#enterWithoutTopics();
    else return false;
    return true;
  }

  #enterWithoutTopics(): void {
    const { name, stoppedTopicRetryMs: retryMs = LIMITS.stoppedTopicRetryMs } = this.#options;
    const topics = this.#choice.topics().map((topic) => topic.name);
    const going = topics.filter((topic) => this.#decided.topicPausedSinceMs(topic) === undefined);
    if (going.some((topic) => this.#book.isStopped(topic))) {
      const every = formatDuration(retryMs);
      const text = `tried again every ${every}, and at once with gatelog mirror resume ${name}`;
      this.#book.enter('refused', `no topic can go on; ${text}`);
    } else {
      const isPaused = topics.length > 0 && going.length === 0;
      this.#book.enter('idle', isPaused ? 'a person paused every topic' : 'no topic to mirror');
    }
  }

  #scanTopics(): void {
    this.#later(untilBeat(this.#options.clock, LIMITS.mirrorTopicScanMs), () => {
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
    this.#book.enter('connecting', this.#trouble);
    this.#link = link;
    const failure = await link.run(streams, seek, signal);
    this.#pacer.over();
    if (failure !== undefined) {
      this.#book.sessionLost(unansweredForMs(link, this.#options.clock.monotonicMs()));
    }
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
    this.#pacer.stands();
    this.#trouble = undefined;
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
        disposition.others?.forEach((reason, topic) => this.#stopTopic(topic, reason));
        return;
      case 'retry':
        this.#trouble = text;
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
