import { must } from '../assert.ts';
import type { Coverage, Coverages } from '../coverage.ts';
import type { StreamId } from '../record.ts';
import type { KeyValueSpace, TopicInfo } from '../store/log.ts';
import { leftBetween } from './batch-ranges.ts';
import type { LaneSampling } from './lane-cursor.ts';
import type { MirrorLosses } from './losses.ts';
import type { MirrorGap, Sampled } from './mirror-cursor.ts';
import type { LinkPolicy } from './policy/link-policy.ts';
import { keepText, type SampleRule } from './sample-rule.ts';
import { SampledBook } from './sampled-book.ts';
import type { Treatment } from './selection.ts';
import type { HoldStatus } from './policy/link-status.ts';
import type { SampleStatus } from './status.ts';
import type { MirrorStream } from './upstream.ts';

export interface SamplingOptions {
  readonly space: KeyValueSpace;
  readonly policy: LinkPolicy | undefined;
  readonly treatmentOf: (topic: string) => Treatment;
}

/** A session's part of it: the rules stay the same throughout. */
export interface SessionSampling extends Pick<LaneSampling, 'ruleOf' | 'book'> {
  /** Where the session begins; gives what is to be told before anything is sent. */
  begin(positions: Coverages): Promise<SampledBefore>;
  /** Durable when resolved. */
  sampled(sampled: readonly Sampled[]): Promise<void>;
  passed(positions: Coverages): Promise<void>;
}

export interface SampledBefore {
  /** A sample went, and it is not known which records that was. */
  readonly unknown: readonly MirrorGap[];
  /** What was left for later, and by the rule of today never comes. */
  readonly givenUp: readonly Sampled[];
}

/** Of which topics only a sample goes at present, and what is known of samples that went. */
export class Sampling {
  readonly #options: SamplingOptions;
  #book: SampledBook | undefined;

  constructor(options: SamplingOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    this.#book = await SampledBook.load(this.#options.space);
  }

  /** undefined: all of the topic's records go. */
  ruleOf(topic: string): SampleRule | undefined {
    const { sample } = this.#options.treatmentOf(topic);
    const applies = sample?.when === 'always' || this.#options.policy?.isMetered === true;
    return applies ? sample : undefined;
  }

  /** Topics of which the link's policy lets something go; `hold`: why there are none. */
  allowed(topics: readonly TopicInfo[]): {
    readonly allowed: readonly TopicInfo[];
    readonly hold: HoldStatus | undefined;
  } {
    const { policy, treatmentOf } = this.#options;
    const allowed = topics.filter(
      ({ name }) =>
        policy?.allows(treatmentOf(name).class, this.ruleOf(name) !== undefined) !== false,
    );
    if (allowed.length > 0) return { allowed, hold: undefined };
    const classes = new Set(topics.map(({ name }) => treatmentOf(name).class));
    return { allowed, hold: policy?.restOf(classes) };
  }

  /** What keeps the topic's records back, or of a sampled one those that are to come later. */
  holdOf(topic: string): HoldStatus | undefined {
    const { policy, treatmentOf } = this.#options;
    const rule = this.ruleOf(topic);
    const { class: topicClass } = treatmentOf(topic);
    const hold = policy?.holdOf(topicClass, rule !== undefined);
    return hold ?? (rule?.rest === 'later' ? policy?.holdOf(topicClass) : undefined);
  }

  statusOf(topic: string): SampleStatus | undefined {
    const { sample } = this.#options.treatmentOf(topic);
    if (sample === undefined) return undefined;
    const { when, rest } = sample;
    const now = this.ruleOf(topic) !== undefined;
    const full = now && rest === 'later' && this.#book?.isFull === true;
    return { when, keep: keepText(sample), rest, now, full };
  }

  readonly keptAhead = (stream: StreamId, had: Coverage): number =>
    this.#book?.keptAhead(stream, had) ?? 0;

  session(
    streams: ReadonlyMap<StreamId, MirrorStream>,
    losses: Pick<MirrorLosses, 'sampled' | 'passed'>,
  ): SessionSampling {
    const book = must(this.#book, 'it was loaded when the mirror started');
    const rules = new Map(
      [...streams].map(([stream, { topic }]) => [stream, this.ruleOf(topic)] as const),
    );
    return {
      ruleOf: (stream) => rules.get(stream),
      book,
      begin: async (positions) => {
        const isGivenUp = (stream: StreamId): boolean => rules.get(stream)?.when === 'always';
        const unknown = await book.begin(positions);
        return {
          unknown: [...unknown].flatMap(([stream, ranges]) =>
            isGivenUp(stream)
              ? []
              : ranges.map(({ from, to }): MirrorGap => {
                  return { stream, fromOffset: from, toOffset: to, reason: 'sampled' };
                }),
          ),
          givenUp: [...positions].flatMap(([stream, had]) =>
            isGivenUp(stream) ? restOf(stream, had, book) : [],
          ),
        };
      },
      sampled: async (sampled) => {
        await losses.sampled(
          streams,
          sampled.filter(({ rest }) => rest === 'ledger'),
        );
        await book.note(sampled.filter(({ rest }) => rest === 'later'));
      },
      passed: (positions) => {
        losses.passed(positions);
        return book.passed(positions);
      },
    };
  }
}

function restOf(stream: StreamId, had: Coverage, book: SampledBook): Sampled[] {
  const { next: from, sampledTo: to, ahead } = had;
  if (to === undefined) return [];
  const kept = book.keptIn(stream, from, to);
  const went = kept.map((offset) => ({ from: offset, to: offset + 1 }));
  const left = leftBetween(from, to, [...ahead, ...went]);
  return [{ stream, from, to, kept, left, leftBytes: 0, rest: 'ledger' }];
}
