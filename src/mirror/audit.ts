import { identityPrefix, type RecordIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import type { OffsetRange } from '../range-set.ts';
import { Declarations, endOf, gapsOf } from './audit-gaps.ts';
import type { AuditGap, Expected } from './audit-gaps.ts';
import { OffsetSet } from './offset-set.ts';

/** Where the auditor read a record. */
export interface AuditPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** A record's home: one partition in one life of one gateway's data folder. */
export type AuditSource = Omit<RecordIdentity, 'offset'>;

export interface RepeatSample {
  readonly offset: number;
  readonly at: AuditPlace;
}

/**
 * - `order`: a record came, for the first time, after a later one of its source partition, in the
 *   same central partition.
 * - `key`: one key of a gateway's topic lies in two central partitions, where readers see no order.
 */
export type DisorderSample =
  | {
      readonly kind: 'order';
      readonly offset: number;
      readonly after: number;
      readonly at: AuditPlace;
    }
  | {
      readonly kind: 'key';
      readonly offset: number;
      readonly key: string;
      readonly partitions: readonly number[];
      readonly at: AuditPlace;
    };

/** Central records that could not be had: what they are nobody knows. */
export interface UnreadRange extends OffsetRange {
  readonly topic: string;
  readonly partition: number;
  readonly reason: string;
}

export interface SourceReport extends AuditSource {
  /** Distinct records. */
  readonly records: number;
  readonly firstOffset: number | undefined;
  readonly lastOffset: number | undefined;
  /** undefined when nobody said. */
  readonly expected: Expected | undefined;
  /** Missing records that nobody declared lost. */
  readonly missing: number;
  readonly declaredLost: number;
  /** Ascending; LIMITS.auditGapRanges at most (`missing` counts them all). */
  readonly gaps: readonly AuditGap[];
  readonly repeats: number;
  /** Records that came again because a person had them sent again. */
  readonly declaredRepeats: number;
  readonly repeatSamples: readonly RepeatSample[];
  readonly disorder: number;
  readonly disorderSamples: readonly DisorderSample[];
  /** Records out of order of a topic that its mirror does not send in order. */
  readonly reordered: number;
}

export interface AuditReport {
  /** No gap (but declared ones), no repeat, no disorder, and nothing unread. */
  readonly clean: boolean;
  readonly records: number;
  readonly missing: number;
  readonly declaredLost: number;
  readonly repeats: number;
  readonly declaredRepeats: number;
  readonly disorder: number;
  readonly reordered: number;
  readonly unread: readonly UnreadRange[];
  readonly sources: readonly SourceReport[];
  /** Records without an identity: other writers' on the same topics. */
  readonly foreign: number;
  readonly foreignSamples: readonly AuditPlace[];
  /** Records whose key could not be checked, because LIMITS.auditKeys keys were known already. */
  readonly keysUnchecked: number;
}

interface SourceState {
  readonly source: AuditSource;
  readonly seen: OffsetSet;
  /** Central `topic/partition` → greatest source offset read there. */
  readonly latest: Map<string, number>;
  expected: Expected | undefined;
  /** Gaps at or above it are not judged. */
  judgedTo: number;
  readonly told: Declarations;
  repeats: number;
  declaredRepeats: number;
  readonly repeatSamples: RepeatSample[];
  disorder: number;
  readonly disorderSamples: DisorderSample[];
  reordered: number;
}

/**
 * Judges what arrived by nothing but the identities on the records: fed with every record of the
 * central topics, each central partition in its own order (how partitions interleave does not
 * matter). Knows nothing of how records were sent, so that it can judge it.
 *
 * Memory: per source partition a few runs and one bit per offset around holes; per key its
 * partition, up to LIMITS.auditKeys keys.
 */
export class Auditor {
  readonly #isUnordered: (topic: string) => boolean;
  readonly #sources = new Map<string, SourceState>();
  /** Also of sources that nothing was met of: they are none for that. */
  readonly #told = new Map<string, Declarations>();
  /** Per gateway, central topic: key → central partition. */
  readonly #keys = new Map<string, Map<string, number>>();
  #keyCount = 0;
  #keysUnchecked = 0;
  #foreign = 0;
  readonly #foreignSamples: AuditPlace[] = [];
  readonly #unread: UnreadRange[] = [];
  /** Of sources that are met from now on. */
  #judgedTo = Number.POSITIVE_INFINITY;

  /** `isUnordered`: topics whose mirror sends new records before their backlog. */
  constructor(isUnordered: (topic: string) => boolean = () => false) {
    this.#isUnordered = isUnordered;
  }

  /** `key` is anything that stands for the record's key (its bytes as latin1, a good hash). */
  feed(identity: RecordIdentity | undefined, key: string | null, at: AuditPlace): void {
    if (identity === undefined) {
      this.#foreign++;
      sample(this.#foreignSamples, at);
      return;
    }
    const state = this.#state(identity);
    const { offset } = identity;
    if (!state.seen.add(offset)) {
      if (state.told.resent.rest(offset, offset + 1).length === 0) {
        state.declaredRepeats++;
        return;
      }
      state.repeats++;
      sample(state.repeatSamples, { offset, at });
      return;
    }
    const partition = `${at.topic}/${at.partition}`;
    const after = state.latest.get(partition) ?? -1;
    if (offset > after) state.latest.set(partition, offset);
    else if (this.#isUnordered(identity.topic)) state.reordered++;
    else {
      state.disorder++;
      sample(state.disorderSamples, { kind: 'order', offset, after, at });
    }
    if (key !== null) this.#checkKey(state, offset, key, at);
  }

  /**
   * The log's own word on what must be there. Without it a missing head or tail can't be told from
   * records that never were.
   */
  expect(source: AuditSource, expected: Expected): void {
    this.#state(source).expected = expected;
  }

  /**
   * For a gateway that goes on sending while its records are read, one central partition after the
   * other: a later record may be read and an earlier one not. Gaps at or above `offset` are not
   * judged; repeats and disorder are.
   */
  judgeBelow(source: AuditSource, offset: number): void {
    this.#state(source).judgedTo = offset;
  }

  /** The same for all sources without such a bound, at what was fed up to now. */
  judgeUpToHere(): void {
    this.#judgedTo = 0;
    for (const state of this.#sources.values()) {
      state.judgedTo = Math.min(state.judgedTo, endOf(state));
    }
  }

  /** There is a gap that nobody explained, in a source whose gateway did not say what there is. */
  get hasDoubtfulGap(): boolean {
    for (const state of this.#sources.values()) {
      if (state.expected !== undefined) continue;
      for (const { declared } of gapsOf(state)) if (declared === undefined) return true;
    }
    return false;
  }

  /** Then nothing is clean. */
  leaveUnread(range: UnreadRange): void {
    this.#unread.push(range);
  }

  /** A range the gateway itself declared lost: reported, but no fault of the delivery. */
  declareLost(
    source: AuditSource,
    { from, to }: OffsetRange,
    reason: string,
    records: number = to - from,
  ): void {
    this.#toldOf(identityPrefix(source)).addLost({ from, to }, reason, records);
  }

  /** A person moved the mirror back: these come again, and that is no fault. Before they are fed. */
  declareResent(source: AuditSource, { from, to }: OffsetRange): void {
    this.#toldOf(identityPrefix(source)).resent.add(from, to);
  }

  report(): AuditReport {
    const sources = [...this.#sources.values()].map(reportSource).toSorted(bySource);
    const total = (count: (source: SourceReport) => number): number =>
      sources.reduce((sum, source) => sum + count(source), 0);
    const missing = total((source) => source.missing);
    const repeats = total((source) => source.repeats);
    const disorder = total((source) => source.disorder);
    return {
      clean: missing === 0 && repeats === 0 && disorder === 0 && this.#unread.length === 0,
      records: total((source) => source.records),
      missing,
      declaredLost: total((source) => source.declaredLost),
      repeats,
      declaredRepeats: total((source) => source.declaredRepeats),
      disorder,
      reordered: total((source) => source.reordered),
      unread: this.#unread,
      sources,
      foreign: this.#foreign,
      foreignSamples: this.#foreignSamples,
      keysUnchecked: this.#keysUnchecked,
    };
  }

  #state(source: AuditSource): SourceState {
    const name = identityPrefix(source);
    const known = this.#sources.get(name);
    if (known !== undefined) return known;
    const { gateway, incarnation, topic, partition } = source;
    const state: SourceState = {
      source: { gateway, incarnation, topic, partition },
      seen: new OffsetSet(),
      latest: new Map(),
      expected: undefined,
      judgedTo: this.#judgedTo,
      told: this.#toldOf(name),
      repeats: 0,
      declaredRepeats: 0,
      repeatSamples: [],
      disorder: 0,
      disorderSamples: [],
      reordered: 0,
    };
    this.#sources.set(name, state);
    return state;
  }

  #toldOf(name: string): Declarations {
    const known = this.#told.get(name);
    if (known !== undefined) return known;
    const told = new Declarations();
    this.#told.set(name, told);
    return told;
  }

  #checkKey(state: SourceState, offset: number, key: string, at: AuditPlace): void {
    const scope = `${state.source.gateway}/${state.source.topic}/${at.topic}`;
    let partitions = this.#keys.get(scope);
    if (partitions === undefined) this.#keys.set(scope, (partitions = new Map()));
    const known = partitions.get(key);
    if (known === at.partition) return;
    if (known === undefined) {
      if (this.#keyCount >= LIMITS.auditKeys) {
        this.#keysUnchecked++;
        return;
      }
      this.#keyCount++;
      partitions.set(key, at.partition);
      return;
    }
    state.disorder++;
    const both = [known, at.partition];
    sample(state.disorderSamples, { kind: 'key', offset, key, partitions: both, at });
  }
}

function sample<T>(samples: T[], one: T): void {
  if (samples.length < LIMITS.auditSamples) samples.push(one);
}

function reportSource(state: SourceState): SourceReport {
  const { source, seen, expected, repeats, declaredRepeats } = state;
  const { repeatSamples, disorder, disorderSamples, reordered } = state;
  const gaps: AuditGap[] = [];
  let missing = 0;
  let declaredLost = 0;
  for (const gap of gapsOf(state)) {
    if (gap.declared === undefined) missing += gap.to - gap.from;
    else declaredLost += gap.to - gap.from;
    if (gaps.length < LIMITS.auditGapRanges) gaps.push(gap);
  }
  return {
    ...source,
    records: seen.size,
    firstOffset: seen.size === 0 ? undefined : seen.first,
    lastOffset: seen.size === 0 ? undefined : seen.last,
    expected,
    missing,
    declaredLost,
    gaps,
    repeats,
    declaredRepeats,
    repeatSamples,
    disorder,
    disorderSamples,
    reordered,
  };
}

function bySource(one: SourceReport, other: SourceReport): number {
  const a = `${one.gateway}/${one.topic}/${one.incarnation}`;
  const b = `${other.gateway}/${other.topic}/${other.incarnation}`;
  if (a !== b) return a < b ? -1 : 1;
  return one.partition - other.partition;
}
