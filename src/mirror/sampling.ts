import { must } from '../assert.ts';
import type { Coverage, Coverages } from '../coverage.ts';
import type { StreamId } from '../record.ts';
import type { KeyValueSpace } from '../store/log.ts';
import type { LaneSampling } from './lane-cursor.ts';
import type { MirrorLosses } from './losses.ts';
import type { MirrorGap, Sampled } from './mirror-cursor.ts';
import type { LinkPolicy } from './policy/link-policy.ts';
import { keepText, type SampleRule } from './sample-rule.ts';
import { SampledBook } from './sampled-book.ts';
import type { Treatment } from './selection.ts';
import type { SampleStatus } from './status.ts';
import type { MirrorStream } from './upstream.ts';

export interface SamplingOptions {
  readonly space: KeyValueSpace;
  readonly policy: LinkPolicy | undefined;
  readonly treatmentOf: (topic: string) => Treatment;
}

/** A session's part of it: the rules stay the same throughout. */
export interface SessionSampling extends Pick<LaneSampling, 'ruleOf' | 'book'> {
  /** Where the session begins; gives what was sampled, and of which it is not known what went. */
  begin(positions: Coverages): Promise<MirrorGap[]>;
  /** Durable when resolved. */
  sampled(sampled: readonly Sampled[]): Promise<void>;
  passed(positions: Coverages): Promise<void>;
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

  /** Whether the link's policy lets anything of the topic go. */
  allows(topic: string): boolean {
    const topicClass = this.#options.treatmentOf(topic).class;
    return this.#options.policy?.allows(topicClass, this.ruleOf(topic) !== undefined) !== false;
  }

  statusOf(topic: string): SampleStatus | undefined {
    const { sample } = this.#options.treatmentOf(topic);
    if (sample === undefined) return undefined;
    const { when, rest } = sample;
    return { when, keep: keepText(sample), rest, now: this.ruleOf(topic) !== undefined };
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
      begin: async (positions) =>
        [...(await book.begin(positions))].flatMap(([stream, ranges]) =>
          ranges.map(({ from, to }): MirrorGap => {
            return { stream, fromOffset: from, toOffset: to, reason: 'sampled' };
          }),
        ),
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
