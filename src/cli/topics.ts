import { ControlClient } from '../admin/control-client.ts';
import type { TopicStatus } from '../admin/status.ts';
import { describeTopics } from '../agent/agent-status.ts';
import { formatDuration, formatSize } from '../units.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { paint, printLine } from './context.ts';
import { withAgentOrFolder } from './folder.ts';
import { dataFolderOf } from './place.ts';
import { formatTable } from './table.ts';

/** `gatelog topics`. */
export async function listTopics(
  context: CliContext,
  options: PlaceOptions & { readonly json: boolean },
): Promise<void> {
  const folder = dataFolderOf(context, options);
  const topics = await withAgentOrFolder(
    context,
    folder,
    async () => (await new ControlClient(folder).wholeStatus()).topics,
    (store) => Promise.resolve(describeTopics(store.reader)),
  );
  if (options.json) {
    for (const topic of topics) printLine(context, JSON.stringify(topic));
    return;
  }
  for (const line of topicTable(context, topics)) printLine(context, line);
}

export function topicTable(context: CliContext, topics: readonly TopicStatus[]): string[] {
  const rows = topics.map((topic) => [
    topic.name,
    String(topic.partitions.length),
    String(topic.records),
    formatSize(topic.bytes),
    topic.durability,
    retentionOf(topic),
  ]);
  const [head = '', ...lines] = formatTable(
    [
      { title: 'TOPIC' },
      { title: 'PARTITIONS', right: true },
      { title: 'RECORDS', right: true },
      { title: 'SIZE', right: true },
      { title: 'DURABILITY' },
      { title: 'RETENTION' },
    ],
    rows,
  );
  return [paint(context, 'bold', head), ...lines];
}

function retentionOf({ retentionMs, retentionBytes }: TopicStatus): string {
  const bounds = [
    ...(retentionMs === null ? [] : [formatDuration(retentionMs)]),
    ...(retentionBytes === null ? [] : [formatSize(retentionBytes)]),
  ];
  return bounds.length === 0 ? 'none' : bounds.join(', ');
}
