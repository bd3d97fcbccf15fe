import { assert } from '../assert.ts';
import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { streamId } from '../record.ts';
import type { StoredTopic } from './commit-head.ts';
import type { TopicInfo, TopicOptions } from './log.ts';

const LEGAL_NAME = /^[a-zA-Z0-9._-]+$/u;

/** The topics and their streams. Definitions wait here for the commit that makes them durable. */
export class Registry {
  readonly #topics = new Map<string, TopicInfo>();
  readonly #byStream: TopicInfo[] = [];
  readonly #undurable = new Map<string, TopicInfo>();

  get streams(): number {
    return this.#byStream.length;
  }

  all(): readonly TopicInfo[] {
    return [...this.#topics.values()];
  }

  get(name: string): TopicInfo | undefined {
    return this.#topics.get(name);
  }

  topicOf(stream: number): TopicInfo | undefined {
    return this.#byStream[stream];
  }

  define(name: string, options: TopicOptions): TopicInfo {
    checkName(name);
    checkOptions(name, options);
    const known = this.#topics.get(name);
    if (known !== undefined && sameOptions(known.options, options)) return known;
    const before = known?.streams.length ?? 0;
    if (options.partitions < before) {
      throw new GatelogError(
        'CONFIG_INVALID',
        `topic ${name} has ${before} partitions, and ${options.partitions} are asked for: ` +
          `partitions may grow but never shrink; set ${before} or more`,
      );
    }
    const added = options.partitions - before;
    if (this.#byStream.length + added > LIMITS.streams) {
      throw new GatelogError(
        'CONFIG_INVALID',
        `topic ${name} with ${options.partitions} partitions would make ` +
          `${this.#byStream.length + added} partitions in all; at most ${LIMITS.streams} are possible`,
      );
    }
    const streams = [...(known?.streams ?? [])];
    for (let index = 0; index < added; index++) {
      streams.push(streamId(this.#byStream.length + index));
    }
    const topic: TopicInfo = { name, options, streams };
    this.#set(topic);
    this.#undurable.set(name, topic);
    return topic;
  }

  /** From the log. */
  restore({ name, options, streams }: StoredTopic): void {
    this.#set({ name, options, streams: streams.map(streamId) });
  }

  /** Definitions that no commit holds yet. */
  undurable(): readonly StoredTopic[] {
    return this.#undurable.size === 0 ? [] : [...this.#undurable.values()];
  }

  durable(topics: readonly StoredTopic[]): void {
    for (const topic of topics) {
      if (this.#undurable.get(topic.name) === topic) this.#undurable.delete(topic.name);
    }
  }

  #set(topic: TopicInfo): void {
    this.#topics.set(topic.name, topic);
    for (const stream of topic.streams) {
      const owner = this.#byStream[stream];
      assert(owner === undefined || owner.name === topic.name, 'a stream belongs to one topic');
      this.#byStream[stream] = topic;
    }
  }
}

function checkName(name: string): void {
  const legal = LEGAL_NAME.test(name) && name !== '.' && name !== '..';
  if (legal && Buffer.byteLength(name) <= LIMITS.topicNameBytes) return;
  throw new GatelogError(
    'CONFIG_INVALID',
    `${JSON.stringify(name)} is no topic name: 1 to ${LIMITS.topicNameBytes} of the characters ` +
      `a-z A-Z 0-9 . _ - are possible, and neither . nor .. alone`,
  );
}

function checkOptions(
  name: string,
  { partitions, retentionMs, retentionBytes, priority }: TopicOptions,
): void {
  const whole = Number.isInteger(partitions) && partitions >= 1;
  if (!whole || partitions > LIMITS.partitionsPerTopic) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `topic ${name}: ${partitions} partitions; 1 to ${LIMITS.partitionsPerTopic} are possible`,
    );
  }
  for (const bound of [retentionMs, retentionBytes]) {
    if (bound !== undefined && !(Number.isFinite(bound) && bound >= 0)) {
      throw new GatelogError('CONFIG_INVALID', `topic ${name}: ${bound} is no retention bound`);
    }
  }
  if (priority !== undefined && !(priority >= 0 && priority <= LIMITS.topicPriorityMax)) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `topic ${name}: ${priority} is no priority; 0 to ${LIMITS.topicPriorityMax} are possible`,
    );
  }
}

function sameOptions(left: TopicOptions, right: TopicOptions): boolean {
  return (
    left.partitions === right.partitions &&
    left.durability === right.durability &&
    left.retentionMs === right.retentionMs &&
    left.retentionBytes === right.retentionBytes &&
    left.onFull === right.onFull &&
    left.priority === right.priority
  );
}
