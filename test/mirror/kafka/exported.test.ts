import { expect, test } from 'vitest';
import { upTo } from '../../../src/coverage.ts';
import { requireNoneExported } from '../../../src/mirror/kafka/doubt.ts';
import { FenceJudge } from '../../../src/mirror/kafka/fencing.ts';
import { Journal } from '../../../src/mirror/kafka/journal.ts';
import { streamId } from '../../../src/record.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** What a mirror makes of records that left in files. */
const STREAM = { stream: streamId(4), topic: 'telemetry', partition: 2 };

test('what was exported stands in the journal, all exports together', async () => {
  const values = new MemoryLog().keyValue;
  const journal = new Journal(values);
  expect(await journal.exported()).toEqual({ count: 0, had: new Map() });
  await journal.noteExported(new Map([[STREAM.stream, upTo(20)]]));
  await journal.noteExported(
    new Map([[STREAM.stream, { next: 10, ahead: [{ from: 30, to: 40 }] }]]),
  );
  const had = new Map([[STREAM.stream, { next: 20, ahead: [{ from: 30, to: 40 }] }]]);
  expect(await new Journal(values).exported()).toEqual({ count: 2, had });
});

test('each export excuses one fencing; the next one is a clone’s', () => {
  const judge = new FenceJudge(new SimClock());
  judge.noteExports(1);
  judge.noteExports(1);
  expect(judge.judge('gw', undefined, 30_000)).toBe('import');
  expect(judge.judge('gw', undefined, 30_000)).toBe('clone');
  judge.noteExports(2);
  expect(judge.judge('gw', undefined, 30_000)).toBe('import');
  expect(judge.judge('gw', undefined, 30_000)).toBe('clone');
});

test('a far side without a position is asked about only where more was exported than it had', () => {
  const exported = new Map([[STREAM.stream, upTo(20)]]);
  const open = (had: number) => [{ ...STREAM, had: upTo(had) }];
  expect(() => requireNoneExported(exported, open(20), 'stop')).not.toThrow();
  expect(() => requireNoneExported(exported, open(0), 'repeat')).not.toThrow();
  expect(() => requireNoneExported(new Map(), open(0), 'stop')).not.toThrow();
  expect(() => requireNoneExported(exported, open(19), 'stop')).toThrow(
    'records of telemetry/2 were exported to files',
  );
});
