import { LIMITS } from '../limits.ts';
import type { MemoryStatus, TopicStatus } from '../admin/status.ts';
import type { LogReader } from '../store/log.ts';

/** The parts of AgentStatus that are read off the log and the process. */
export function describeTopics(reader: LogReader): TopicStatus[] {
  return reader.topics().map(({ name, options, streams }) => {
    const partitions = streams.map((stream, partition) => ({ partition, ...reader.range(stream) }));
    return {
      name,
      durability: options.durability,
      retentionMs: options.retentionMs ?? null,
      retentionBytes: options.retentionBytes ?? null,
      onFull: options.onFull ?? 'drop-oldest',
      priority: options.priority ?? LIMITS.topicPriority,
      bytes: reader.topicBytes(name),
      records: partitions.reduce(
        (sum, { startOffset, endOffset }) => sum + endOffset - startOffset,
        0,
      ),
      partitions,
    };
  });
}

export function memoryStatus(): MemoryStatus {
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rssBytes: rss, heapUsedBytes: heapUsed, externalBytes: external };
}
