import { must } from '../assert.ts';
import { GatelogError } from '../errors.ts';
import type { LogReader, TopicInfo } from '../store/log.ts';
import {
  selectTopics,
  topicMatcher,
  type TopicPattern,
  type Treatment,
  treatmentBy,
} from './selection.ts';

/** Which topics of the log a mirror sends, and how. */
export class TopicChoice {
  readonly matches: (topic: string) => boolean;
  readonly #mirror: string;
  readonly #reader: LogReader;
  readonly #treatment: (topic: string) => Treatment | undefined;

  constructor(mirror: string, reader: LogReader, patterns: readonly TopicPattern[]) {
    this.#mirror = mirror;
    this.#reader = reader;
    this.matches = topicMatcher(patterns);
    this.#treatment = treatmentBy(patterns);
  }

  /** Those that the log has at present. */
  topics(): readonly TopicInfo[] {
    return selectTopics(this.#reader, this.matches);
  }

  treatmentOf(topic: string): Treatment {
    return must(this.#treatment(topic), 'a mirrored topic matches');
  }

  /** Throws NOT_FOUND. */
  require(name: string): TopicInfo {
    const topic = this.#reader.topic(name);
    if (topic !== undefined && this.matches(name)) return topic;
    const known = this.topics().map((info) => info.name);
    throw new GatelogError(
      'NOT_FOUND',
      `mirror ${this.#mirror} has no topic ${name}; it has: ${known.join(', ') || 'none'}`,
    );
  }
}
