import type { LogReader, TopicInfo } from '../store/log.ts';
import type { MirrorStream } from './upstream.ts';

/**
 * Which topics a mirror sends: patterns in which `*` stands for any run of characters. A name that
 * begins with `_` (the product's own, as `_quarantine`) matches only when it is written out; but the
 * account of what is missing goes with the rest.
 */
export function topicMatcher(patterns: readonly string[]): (topic: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map(globExpression);
  return (topic) =>
    exact.has(topic) ||
    ((!topic.startsWith('_') || topic === '_gaps') && globs.some((glob) => glob.test(topic)));
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
