import { Reader, readRecordsBatch } from '@platformatic/kafka';
import { must } from '../../assert.ts';
import { encodeHeaders } from '../../headers.ts';
import { IDENTITY_HEADER, parseIdentity } from '../../identity.ts';
import type { Cargo } from './encode.ts';
import { Target, type Way } from './plan.ts';

/** The records of a batch of ours, as they came from the log. For the rare batch that is refused. */
export function decodeCargo(
  cargo: Cargo,
  wayOf: (topic: string, partition: number) => Way,
): Target {
  const batch = readRecordsBatch(Reader.from(cargo.batch.bytes));
  const target = new Target(cargo.topic, cargo.partition);
  for (const { timestampDelta, key, value, headers } of batch.records) {
    const own = headers.at(-1);
    const identity =
      own?.[0]?.toString('utf8') === IDENTITY_HEADER
        ? parseIdentity(own[1]?.toString('utf8') ?? '')
        : undefined;
    const { topic, partition, offset } = must(identity, 'our batches end every record with its id');
    target.ways.push(wayOf(topic, partition));
    target.records.push({
      offset,
      timestampMs: Number(batch.firstTimestamp + timestampDelta),
      key,
      value,
      headers: encodeHeaders(
        headers.slice(0, -1).map(([name, content]) => ({
          key: must(name, 'a header has a name').toString('utf8'),
          value: content,
        })),
      ),
    });
  }
  return target;
}
