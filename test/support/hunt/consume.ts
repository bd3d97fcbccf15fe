import { runGatelog } from './agent-process.ts';
import type { LogOracle, ReadRecord } from './log-oracle.ts';

interface ConsumedLine {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key?: string;
  readonly keyBase64?: string;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly headers: readonly { readonly key: string; readonly value: string }[];
}

/** The records of a topic as `gatelog consume --json` prints them. */
export async function consumeTopic(data: string, topic: string): Promise<readonly ReadRecord[]> {
  const output = await runGatelog([
    'consume',
    topic,
    '--data',
    data,
    '--from',
    'beginning',
    '--json',
  ]);
  if (output.code !== 0) throw new Error(`consume ${topic}: exit ${output.code}: ${output.stderr}`);
  return output.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => toReadRecord(JSON.parse(line) as ConsumedLine));
}

function toReadRecord(line: ConsumedLine): ReadRecord {
  return {
    topic: line.topic,
    partition: line.partition,
    offset: line.offset,
    key: line.key ?? Buffer.from(line.keyBase64 ?? '', 'base64').toString('utf8'),
    value:
      line.value === undefined
        ? Buffer.from(line.valueBase64 ?? '', 'base64')
        : Buffer.from(line.value, 'utf8'),
    headers: line.headers.map(({ key, value }) => [key, value]),
  };
}

/** The command must show the very records that the store's own reader showed. */
export async function checkByCommand(
  data: string,
  oracle: LogOracle,
  topics: readonly string[],
): Promise<void> {
  for (const topic of topics) {
    for (const record of await consumeTopic(data, topic)) oracle.record(record);
  }
}
