import { METRICS } from '../health.ts';
import { GAPS } from '../loss.ts';
import type { LogReader, TopicInfo } from '../store/log.ts';
import { sameRule, type SampleRule } from './sample-rule.ts';
import type { MirrorStream } from './upstream.ts';

/** What goes first when not everything can go at once; inside a class the order of the log holds. */
export const CLASSES = ['alarm', 'high', 'normal', 'bulk'] as const;
export type TopicClass = (typeof CLASSES)[number];

/**
 * What goes first of a topic that has a backlog.
 * - `backlog-first`: the order of the log.
 * - `live-first`: new records; what lies behind fills what is left, oldest first.
 * - `newest-first`: new records; then the backlog in chunks, from the newest to the oldest.
 */
export const DRAINS = ['backlog-first', 'live-first', 'newest-first'] as const;
export type Drain = (typeof DRAINS)[number];

/** How a mirror treats a topic. */
export interface Treatment {
  readonly class: TopicClass;
  readonly drain: Drain;
  /** undefined: all of its records go. */
  readonly sample?: SampleRule | undefined;
}

/** A name or a pattern; alone, its topics get the default treatment. */
export interface TopicRule extends Treatment {
  readonly match: string;
}
export type TopicPattern = string | TopicRule;

export const DEFAULT_TREATMENT: Treatment = { class: 'normal', drain: 'backlog-first' };

/** How a gateway is goes when nothing of its devices waits, unless a person wrote otherwise. */
const BEHIND_ALL: Treatment = { class: 'bulk', drain: 'backlog-first' };

/** Names of the product's own that go with the rest. */
const GOES_ALONG: ReadonlySet<string> = new Set([GAPS, METRICS]);

export function matchOf(pattern: TopicPattern): string {
  return typeof pattern === 'string' ? pattern : pattern.match;
}

export function treatmentOf(pattern: TopicPattern): Treatment {
  return typeof pattern === 'string' ? DEFAULT_TREATMENT : pattern;
}

export function sameTreatment(one: Treatment, other: Treatment): boolean {
  const isOrdered = one.class === other.class && one.drain === other.drain;
  return isOrdered && sameRule(one.sample, other.sample);
}

/** What is missing is told in full. */
function unsampled({ class: topicClass, drain }: Treatment): Treatment {
  return { class: topicClass, drain };
}

/** Something of these goes before other things that wait: then others must not be under way for long. */
export function sendsSomeFirst(patterns: readonly TopicPattern[]): boolean {
  const treatments = patterns.map(treatmentOf);
  const classes = new Set(treatments.map((treatment) => treatment.class));
  return classes.size > 1 || treatments.some(({ drain }) => drain !== 'backlog-first');
}

/** The first pattern that matches a topic decides; undefined when none does. */
export function treatmentBy(
  patterns: readonly TopicPattern[],
): (topic: string) => Treatment | undefined {
  const rules = patterns.map((pattern) => ({
    treatment: treatmentOf(pattern),
    matches: topicMatcher([pattern]),
  }));
  const exact = new Set(patterns.map(matchOf));
  return (topic) => {
    const treatment = rules.find(({ matches }) => matches(topic))?.treatment;
    if (treatment === undefined) return undefined;
    if (topic === METRICS && !exact.has(METRICS)) return BEHIND_ALL;
    return topic === GAPS ? unsampled(treatment) : treatment;
  };
}

/**
 * Which topics a mirror sends: patterns in which `*` stands for any run of characters. A name that
 * begins with `_` (the product's own, as `_quarantine`) matches only when it is written out; but the
 * account of what is missing, and how the gateway is, go with the rest.
 */
export function topicMatcher(given: readonly TopicPattern[]): (topic: string) => boolean {
  const patterns = given.map(matchOf);
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map(globExpression);
  return (topic) =>
    exact.has(topic) ||
    ((!topic.startsWith('_') || GOES_ALONG.has(topic)) && globs.some((glob) => glob.test(topic)));
}

function globExpression(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\/-]/gu, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'u');
}

export function selectTopics(
  reader: LogReader,
  matches: (topic: string) => boolean,
): readonly TopicInfo[] {
  return reader.topics().filter((topic) => matches(topic.name));
}

export function streamsOf(topics: readonly TopicInfo[]): MirrorStream[] {
  return topics.flatMap((topic) =>
    topic.streams.map((stream, partition) => ({ stream, topic: topic.name, partition })),
  );
}
