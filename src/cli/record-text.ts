import type { RecordJson } from '../admin/record-json.ts';
import { shownControls } from '../control-characters.ts';
import { TIME_HEADER } from '../time-headers.ts';
import { isoTime } from '../time.ts';
import { paint, type CliContext } from './context.ts';

/** One line for a person. A time that is only estimated, here or where the record came from, is marked. */
export function recordText(context: CliContext, record: RecordJson): string {
  const { topic, partition, offset, timestamp, time } = record;
  const origin = record.headers.findLast(({ key }) => key === TIME_HEADER)?.value;
  const mark = (time ?? origin) === 'estimated' ? '~' : '';
  const place = paint(
    context,
    'dim',
    `${mark}${isoTime(timestamp)} ${topic}/${partition}@${offset}`,
  );
  const key = shownText(record.key, record.keyBase64);
  return `${place} ${paint(context, 'cyan', key)} ${shownText(record.value, record.valueBase64)}`;
}

function shownText(text: string | null | undefined, base64: string | undefined): string {
  if (base64 !== undefined) return `(base64) ${base64}`;
  return text === null || text === undefined ? 'null' : shownControls(text);
}
