import { assert, must } from '../assert.ts';
import { type Coverage, covers } from '../coverage.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, LossLedger, TopicInfo } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { Decisions } from './decisions.ts';
import { DrainPace } from './drain-pace.ts';
import {
  type Answers,
  type Entered,
  goingState,
  isCurrent,
  isFlowing,
  presentState,
} from './present-state.ts';
import type { Refused, Settlement } from './pump.ts';
import { groupRefused, type RefusedGroup } from './rejections.ts';
import type { Sampling } from './sampling.ts';
import type { Treatment } from './selection.ts';
import {
  greatestLag,
  LagMeter,
  type GapReason,
  type GapReport,
  type MirrorState,
  type MirrorStatus,
  newProgress,
  partitionStatus,
  type RejectionReport,
  type StatusSources,
  type StreamProgress,
  type TopicStatus,
} from './status.ts';
import type { MirrorStream } from './upstream.ts';

/** A topic that the far side refused to go on with. */
interface TopicStop {
  readonly sinceMs: number;
  reason: string;
  /** Out of the mirror; false while it is being tried again and nothing has succeeded yet. */
  out: boolean;
}

/** Beside the wall clock, which may be set: for how long something has been so. */
interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** A session is wanted and none stands. */
const TRYING: ReadonlySet<MirrorState> = new Set<MirrorState>([
  'connecting',
  'backing off',
  'refused',
]);

/** What a status tells besides the book's own. */
export interface Circumstances {
  readonly name: string;
  readonly topics: readonly TopicInfo[];
  readonly decisions: Decisions | undefined;
  readonly answers: Answers;
  readonly slowness: string | undefined;
}

/** Records that are neither here nor, as far as we know, at the far side. */
export interface Loss {
  readonly stream: StreamId;
  readonly fromOffset: number;
  /** One past the last. */
  readonly toOffset: number;
  readonly reason: GapReason;
}

export interface MirrorBookOptions {
  readonly reader: LogReader;
  readonly ledger: LossLedger;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly treatmentOf: (topic: string) => Treatment;
  readonly sampling: Pick<Sampling, 'statusOf' | 'keptAhead' | 'holdOf'>;
}

/** A mirror's account of itself: state, counts, gaps, stopped topics. Decides nothing. */
export class MirrorBook {
  readonly #lag: LagMeter;
  readonly #sources: StatusSources;
  readonly #treatmentOf: (topic: string) => Treatment;
  readonly #sampling: MirrorBookOptions['sampling'];
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #progress = new Map<StreamId, StreamProgress>();
  readonly #stops = new Map<string, TopicStop>();
  /** By topic. */
  readonly #paces = new Map<string, DrainPace>();
  readonly #gaps: GapReport[] = [];
  /** By kind of reason, the latest last. */
  readonly #rejections = new Map<string, RejectionReport>();
  readonly #startedMs: number;
  #state: MirrorState = 'stopped';
  #since: Moment;
  /** Since when there is no session: the last answer of the one before, or when the first was begun; undefined while one stands or none is wanted. */
  #down: Moment | undefined;
  #reason: string | undefined;
  #nextTryMs: number | undefined;
  #lastError: MirrorStatus['lastError'];
  #sessions = 0;
  #failures = 0;
  #bytesSent = 0;

  constructor({ reader, ledger, clock, logger, treatmentOf, sampling }: MirrorBookOptions) {
    this.#treatmentOf = treatmentOf;
    this.#sampling = sampling;
    this.#clock = clock;
    this.#logger = logger;
    this.#lag = new LagMeter(reader);
    this.#sources = { reader, ledger, lag: this.#lag, keptAhead: sampling.keptAhead };
    this.#startedMs = clock.nowMs();
    this.#since = this.#now();
  }

  get state(): MirrorState {
    return this.#state;
  }

  enter(state: MirrorState, reason?: string, nextTryMs?: number): void {
    this.#reason = reason;
    this.#nextTryMs = nextTryMs;
    if (TRYING.has(state)) this.#down ??= this.#now();
    else this.#down = undefined;
    if (state === this.#state) return;
    this.#state = state;
    this.#since = this.#now();
  }

  #now(): Moment {
    return { wallMs: this.#clock.nowMs(), monotonicMs: this.#clock.monotonicMs() };
  }

  failed(text: string): void {
    this.#failures++;
    this.#lastError = { text, atMs: this.#clock.nowMs() };
  }

  /** It stood until the far side gave its last answer, whenever that was found out. */
  sessionLost(silentMs: number): void {
    const { wallMs, monotonicMs } = this.#now();
    this.#down ??= { wallMs: wallMs - silentMs, monotonicMs: monotonicMs - silentMs };
  }

  sessionBegun(): void {
    this.#sessions++;
  }

  /** Where a stream stands now: at the start, and when a session was begun or a person sought. */
  place(at: MirrorStream, had: Coverage): void {
    const progress = this.#progress.get(at.stream);
    if (progress === undefined) this.#progress.set(at.stream, newProgress(at, had));
    else progress.had = had;
  }

  /** How old the lag is; a disk that does not answer holds nobody up. */
  async measure(): Promise<void> {
    const done = new AbortController();
    const waited = this.#clock.sleep(LIMITS.statusDiskMs, done.signal);
    await Promise.race([this.#lag.measure(this.progress()), waited]).finally(() => done.abort());
  }

  hadOf(stream: StreamId): Coverage {
    return this.#of(stream).had;
  }

  settled({ positions, batch, quarantined, bytesSent }: Settlement): void {
    this.#bytesSent += bytesSent;
    const nowMs = this.#clock.monotonicMs();
    for (const { stream, records } of batch.slices) {
      const progress = this.#of(stream);
      progress.recordsSent += records.length;
      const { topic } = progress.at;
      this.#paceOf(topic).note(records.length, nowMs, () => this.#endOf(topic));
      this.#stops.delete(progress.at.topic);
    }
    for (const stream of quarantined) this.#of(stream).recordsSent--;
    for (const gap of batch.gaps) this.lost(gap);
    for (const { stream, offsets } of batch.expired ?? [])
      this.#of(stream).recordsExpired += offsets.length;
    for (const { stream, left } of batch.sampled ?? [])
      this.#of(stream).recordsSampled += sum(left, ({ from, to }) => to - from);
    for (const [stream, had] of positions) {
      const progress = this.#of(stream);
      assert(covers(had, progress.had), 'a position moves only forward by receipts');
      progress.had = had;
    }
  }

  /** Records that are in quarantine now. */
  refused(refused: readonly Refused[]): void {
    for (const { stream } of refused) this.#of(stream).recordsRejected++;
    for (const group of groupRefused(refused)) this.#refusedFor(group);
  }

  /** Counts and tells what was not counted before. */
  lost({ stream, fromOffset, toOffset, reason }: Loss): void {
    const progress = this.#of(stream);
    for (const { from, to } of progress.gaps.add(fromOffset, toOffset)) {
      progress.recordsMissing += to - from;
      this.#tellLoss(progress.at, from, to, reason);
    }
  }

  stopTopic(topic: string, reason: string): void {
    const sinceMs = this.#stops.get(topic)?.sinceMs ?? this.#clock.nowMs();
    this.#stops.set(topic, { sinceMs, reason, out: true });
  }

  isStopped(topic: string): boolean {
    return this.#stops.get(topic)?.out === true;
  }

  /** Lets the topic, or all, take part again; it counts as well only once something was sent. */
  retryTopic(topic?: string): void {
    for (const [name, stop] of this.#stops) {
      if (topic === undefined || topic === name) stop.out = false;
    }
  }

  progress(): Iterable<StreamProgress> {
    return this.#progress.values();
  }

  status({ name, topics, decisions, answers, slowness }: Circumstances): MirrorStatus {
    const nowMs = this.#clock.nowMs();
    const monotonicMs = this.#clock.monotonicMs();
    const downForMs =
      this.#down === undefined ? undefined : Math.round(monotonicMs - this.#down.monotonicMs);
    const statuses = topics.map((topic) => this.#topic(topic, { decisions, answers, nowMs }));
    const partitions = statuses.flatMap((topic) => topic.partitions);
    return {
      name,
      ...this.#present(answers, statuses, { wallMs: nowMs, monotonicMs }),
      downForMs,
      unansweredMs: Math.round(answers.underWayMs),
      slowness,
      lastError: this.#lastError,
      reconnects: Math.max(0, this.#sessions - 1),
      failures: this.#failures,
      recordsSent: sum(partitions, (partition) => partition.recordsSent),
      bytesSent: this.#bytesSent,
      recordsRejected: sum(partitions, (partition) => partition.recordsRejected),
      recordsMissing: sum(partitions, (partition) => partition.recordsMissing),
      recordsExpired: sum(partitions, (partition) => partition.recordsExpired),
      recordsSampled: sum(partitions, (partition) => partition.recordsSampled),
      lagRecords: sum(partitions, (partition) => partition.lagRecords),
      lagMs: greatestLag(partitions),
      gaps: this.#gaps,
      rejections: [...this.#rejections.values()],
      pendingSeeks: decisions?.seeks ?? [],
      pendingSkips: decisions?.skips ?? [],
      topics: statuses,
    };
  }

  #present(answers: Answers, topics: readonly TopicStatus[], now: Moment): Entered {
    const entered: Entered = {
      state: this.#state,
      sinceMs: this.#since.wallMs,
      forMs: Math.round(now.monotonicMs - this.#since.monotonicMs),
      reason: this.#reason,
      nextTryMs: this.#nextTryMs,
    };
    const waits = topics
      .filter(({ state }) => state !== 'paused' && state !== 'stopped')
      .map(({ topic, lagRecords }) => ({ lagRecords, hold: this.#sampling.holdOf(topic) }));
    return presentState(entered, answers, waits, now.wallMs);
  }

  #topic(
    topic: TopicInfo,
    { decisions, answers, nowMs }: Pick<Circumstances, 'decisions' | 'answers'> & { nowMs: number },
  ): TopicStatus {
    const stop = this.#stops.get(topic.name);
    const pausedMs = decisions?.topicPausedSinceMs(topic.name);
    const partitions = topic.streams.flatMap((stream) => {
      const progress = this.#progress.get(stream);
      return progress === undefined ? [] : [partitionStatus(progress, this.#sources, nowMs)];
    });
    const treatment = this.#treatmentOf(topic.name);
    const lagRecords = sum(partitions, (partition) => partition.lagRecords);
    const hold = this.#sampling.holdOf(topic.name);
    const sample = this.#sampling.statusOf(topic.name);
    const isOut = pausedMs !== undefined || stop?.out === true;
    const isGoing = !isOut && hold === undefined && isFlowing(this.#state, answers);
    const base = {
      topic: topic.name,
      reason: stop?.reason,
      class: treatment.class,
      drain: treatment.drain,
      sample,
      lagRecords,
      lagMs: greatestLag(partitions),
      etaMs: lagRecords === 0 ? 0 : isGoing ? this.#etaMs(topic.name, lagRecords) : undefined,
      heldUntilMs: hold?.untilMs,
      partitions,
    };
    if (pausedMs !== undefined) return { ...base, state: 'paused', sinceMs: pausedMs };
    if (stop?.out === true) return { ...base, state: 'stopped', sinceMs: stop.sinceMs };
    const isMirrorCurrent = isCurrent(this.#state, answers);
    const state = goingState({ lagRecords, hold }, sample?.now === true, isMirrorCurrent);
    return { ...base, state, sinceMs: stop?.sinceMs ?? this.#startedMs };
  }

  /** undefined: nothing moves, or as much comes as goes. */
  #etaMs(topic: string, records: number): number | undefined {
    return this.#paceOf(topic).etaMs(records, this.#clock.monotonicMs(), this.#endOf(topic));
  }

  #tellLoss({ topic, partition }: MirrorStream, from: number, to: number, reason: GapReason): void {
    const atMs = this.#clock.nowMs();
    this.#gaps.push({ topic, partition, fromOffset: from, toOffset: to, reason, atMs });
    if (this.#gaps.length > LIMITS.statusGaps) this.#gaps.shift();
    const records = `${to - from} records of ${topic}/${partition} (${from} to ${to - 1})`;
    this.#logger.warn(
      { event: 'mirror.gap', topic, partition, fromOffset: from, toOffset: to, reason },
      reason === 'far-behind'
        ? `the far side has gone back to before ${records}, which this log no longer holds: unless ` +
            `they were a gap before, the far side has lost them; going on after them`
        : `${records} ${LOST[reason]} before they could be mirrored; going on after them`,
    );
  }

  #refusedFor({ kind, reason, records, ranges }: RefusedGroup): void {
    const named = [...ranges].slice(0, LIMITS.rejectionRanges).map(([stream, range]) => {
      const { topic, partition } = this.#of(stream).at;
      return { topic, partition, ...range };
    });
    const places = named.map(
      ({ topic, partition, fromOffset, toOffset }) =>
        `${topic}/${partition} (${fromOffset} to ${toOffset - 1})`,
    );
    const rest = ranges.size - named.length;
    if (rest > 0) places.push(`${rest} more partitions`);
    this.#logger.warn(
      { event: 'mirror.quarantine', records, reason, partitions: ranges.size, ranges: named },
      `${records} records were refused and put aside: ${places.join(', ')}: ${reason}`,
    );
    const last = must(named.at(-1), 'a group has records');
    const { topic, partition } = last;
    const before = this.#rejections.get(kind)?.records ?? 0;
    this.#rejections.delete(kind);
    this.#rejections.set(kind, {
      reason,
      records: before + records,
      topic,
      partition,
      offset: last.toOffset - 1,
      atMs: this.#clock.nowMs(),
    });
    if (this.#rejections.size <= LIMITS.rejectionKinds) return;
    const [oldest] = this.#rejections.keys();
    if (oldest !== undefined) this.#rejections.delete(oldest);
  }

  #paceOf(topic: string): DrainPace {
    const known = this.#paces.get(topic);
    if (known !== undefined) return known;
    const pace = new DrainPace(this.#clock.monotonicMs(), this.#endOf(topic));
    this.#paces.set(topic, pace);
    return pace;
  }

  #endOf(topic: string): number {
    const { reader } = this.#sources;
    return sum(reader.topic(topic)?.streams ?? [], (stream) => reader.range(stream).endOffset);
  }

  #of(stream: StreamId): StreamProgress {
    return must(this.#progress.get(stream), 'every mirrored stream was placed before');
  }
}

const LOST: Readonly<Record<Exclude<GapReason, 'far-behind'>, string>> = {
  skipped: 'were skipped by a person',
  sampled: 'stand beside a sample that was sent and is not known any more,',
  retention: 'were removed, by retention or for space,',
  corruption: 'were lost by the disk',
};

function sum<T>(items: readonly T[], count: (item: T) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}
