import type { Coverage } from '../coverage.ts';
import type { StreamId } from '../record.ts';
import type { LogReader } from '../store/log.ts';
import type { LogFields } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { MirrorBook } from './book.ts';
import type { Decisions, PendingSeek } from './decisions.ts';
import { type SeekRequest, seekOffsets } from './seek.ts';
import { type PendingSkip, type SkipRequest, hadThen, skipOf } from './skip.ts';
import type { TopicChoice } from './topic-choice.ts';

/** What a person paused in another scope, and what therefore stays so. */
export interface Resumed {
  readonly pausedTopics: readonly string[];
  readonly isMirrorPaused: boolean;
}

export interface SteeringOptions {
  readonly reader: LogReader;
  readonly clock: Clock;
  readonly choice: TopicChoice;
  readonly book: MirrorBook;
  readonly decisions: () => Decisions;
  readonly log: (level: 'info' | 'warn', event: string, fields: LogFields, message: string) => void;
  /** What is mirrored is to be thought over. */
  readonly kick: () => void;
  /** A topic, or all of the mirror, may go on, whatever stopped it. */
  readonly freed: (topic: string | undefined) => void;
}

/** What a person decides about a mirror: noted at once, and taken up by the next session. */
export class Steering {
  readonly #options: SteeringOptions;

  constructor(options: SteeringOptions) {
    this.#options = options;
  }

  /** The whole mirror, or one topic; survives restarts. Durable when resolved. */
  async pause(topic?: string): Promise<void> {
    const { choice, clock, decisions, log, kick } = this.#options;
    if (topic !== undefined) choice.require(topic);
    const nowMs = clock.nowMs();
    const decided = decisions();
    const written = topic === undefined ? decided.pause(nowMs) : decided.pauseTopic(topic, nowMs);
    log('info', 'mirror.pause', { topic }, `paused ${topic ?? 'the whole mirror'}`);
    kick();
    await written;
  }

  /**
   * Undoes `pause` of the same scope, and brings back what a failure stopped: without a topic the
   * whole mirror (halted, backing off) and all stopped topics.
   */
  async resume(topic?: string): Promise<Resumed> {
    const { choice, book, decisions, log, kick, freed } = this.#options;
    if (topic !== undefined) choice.require(topic);
    const decided = decisions();
    const written = topic === undefined ? decided.resume() : decided.resumeTopic(topic);
    book.retryTopic(topic);
    freed(topic);
    log('info', 'mirror.resume', { topic }, `resumed ${topic ?? 'the whole mirror'}`);
    kick();
    await written;
    return {
      pausedTopics: topic === undefined ? decided.pausedTopics : [],
      isMirrorPaused: decided.pausedSinceMs !== undefined,
    };
  }

  /**
   * Goes on from another place. Durable when resolved; takes effect with the next session, which
   * begins at once unless the mirror is paused or the far side away. Forward skips records,
   * backward sends them again. Throws NOT_FOUND and USAGE.
   */
  async seek(request: SeekRequest): Promise<readonly PendingSeek[]> {
    const { reader, choice, decisions, log, kick } = this.#options;
    const topic = choice.require(request.topic);
    const seeks = await seekOffsets(reader, topic, request.partition, request.to);
    const written = decisions().addSeeks(seeks);
    log('warn', 'mirror.seek', { seeks }, `a person moved the position of ${topic.name}`);
    kick();
    await written;
    return seeks;
  }

  /**
   * Leaves out the oldest records that were not sent, ledgered, and lets their topic take part again if
   * a failure had stopped it. Durable when resolved. What the far side turns out to have is not left
   * out. Throws NOT_FOUND and USAGE.
   */
  async skip(request: SkipRequest): Promise<PendingSkip> {
    const { reader, choice, book, decisions, log, kick } = this.#options;
    const topic = choice.require(request.topic);
    const decided = decisions();
    const hadOf = (stream: StreamId, partition: number): Coverage =>
      hadThen(book.hadOf(stream), { topic: topic.name, partition }, decided);
    const skip = skipOf(reader, topic, request, hadOf);
    const written = decided.addSkip(skip);
    book.retryTopic(topic.name);
    log('warn', 'mirror.skip', { skip }, `a person has records of ${topic.name} left out`);
    kick();
    await written;
    return skip;
  }
}
