import type { Durability } from '../record.ts';
import { ON_FULL } from '../store/log.ts';
import { arrayOf, COUNT, type Form, objectOf, oneOf, orNull, TEXT } from './schema-forms.ts';
import type { PartitionStatus, TopicStatus } from './status.ts';

const DURABILITIES = ['fsync', 'os', 'none'] as const satisfies readonly Durability[];

const PARTITION: Form = objectOf<PartitionStatus>({
  partition: [COUNT, 'Its number.'],
  startOffset: [COUNT, 'The first offset that can still be read.'],
  endOffset: [COUNT, 'One past the last durable record.'],
});

/** A topic of the log. */
export const TOPIC_FORM: Form = objectOf<TopicStatus>({
  name: [TEXT, 'Of the topic.'],
  durability: [oneOf(DURABILITIES), 'When its records are acknowledged.'],
  retentionMs: [orNull(COUNT), 'How long records are kept; null: for ever.'],
  retentionBytes: [orNull(COUNT), 'How much of them; null: whatever there is.'],
  onFull: [oneOf(ON_FULL), 'What happens to it when the disk is full.'],
  priority: [COUNT, 'The lower, the earlier it is given up.'],
  bytes: [COUNT, 'On disk, as retention counts them.'],
  records: [COUNT, 'That can be read, of all partitions.'],
  partitions: [arrayOf(PARTITION), 'Each of them.'],
});
