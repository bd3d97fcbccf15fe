import { expect, test } from 'vitest';
import { upTo } from '../../../src/coverage.ts';
import { requireNoneExported } from '../../../src/mirror/kafka/doubt.ts';
import { FenceJudge } from '../../../src/mirror/kafka/fencing.ts';
import { isOfImport, markedTimeout } from '../../../src/mirror/kafka/import-mark.ts';
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
  expect(await journal.noteExported(new Map([[STREAM.stream, upTo(20)]]))).toBe(1);
  await journal.noteExported(
    new Map([[STREAM.stream, { next: 10, ahead: [{ from: 30, to: 40 }] }]]),
  );
  const had = new Map([[STREAM.stream, { next: 20, ahead: [{ from: 30, to: 40 }] }]]);
  expect(await new Journal(values).exported()).toEqual({ count: 2, had });
});

const untold = () => Promise.resolve('unknown' as const);
const byImport = () => Promise.resolve('import' as const);
const byGateway = () => Promise.resolve('gateway' as const);

test('an import says that it is one, however often it comes; who says nothing of it is a clone', async () => {
  const judge = new FenceJudge(new SimClock(), () => Promise.resolve(1));
  for (let run = 0; run < 10; run++) {
    judge.begin();
    expect(await judge.judge('gw', 100, 30_000, byImport)).toBe('import');
    // In the same session, too: one id each.
    expect(await judge.judge('gw#2', 100, 30_000, byGateway)).toBe('clone');
  }
});

test('what was never exported here is imported by a clone', async () => {
  const judge = new FenceJudge(new SimClock(), () => Promise.resolve(0));
  expect(await judge.judge('gw', 100, 30_000, byImport)).toBe('clone');
});

test('where it can not be told each export excuses an import that is broken off and begun again', async () => {
  let exports = 1;
  const judge = new FenceJudge(new SimClock(), () => Promise.resolve(exports));
  const fenced = async (): Promise<string> => {
    judge.begin();
    return judge.judge('gw', undefined, 30_000, untold);
  };
  for (exports of [1, 2]) {
    for (let run = 0; run < 3; run++) expect(await fenced()).toBe('import');
    expect(await fenced()).toBe('clone');
  }
});

test('an import takes over every id of the session that it meets', async () => {
  const judge = new FenceJudge(new SimClock(), () => Promise.resolve(1));
  for (let run = 0; run < 2; run++) {
    judge.begin();
    await judge.judge('gw', 100, 30_000, untold);
  }
  judge.begin();
  const causes = ['gw#2', 'gw', 'gw#3'].map((id) => judge.judge(id, 100, 30_000, untold));
  expect(await Promise.all(causes)).toEqual(['import', 'import', 'import']);
  judge.begin();
  expect(await judge.judge('gw', 100, 30_000, untold)).toBe('clone');
});

test('what was exported while a session stands excuses the import that ends it', async () => {
  const values = new MemoryLog().keyValue;
  const mirrors = new Journal(values);
  const judge = new FenceJudge(new SimClock(), async () => (await mirrors.exported()).count);
  judge.begin();
  await new Journal(values).noteExported(new Map([[STREAM.stream, upTo(20)]]));
  expect(await judge.judge('gw', 100, 30_000, byImport)).toBe('import');
});

test('a transaction timeout says who began the transaction', () => {
  for (const ms of [437, 1000, 1437, 5000, 30_000, 900_000]) {
    const [carried, sent] = [markedTimeout('import', ms), markedTimeout('gateway', ms)];
    expect([isOfImport(carried), isOfImport(sent)]).toEqual([true, false]);
    expect(carried).toBeGreaterThan(ms - 1000);
    expect(Math.max(carried, sent)).toBeLessThanOrEqual(ms);
  }
  expect(markedTimeout('gateway', 5000)).toBe(5000);
  expect(markedTimeout('import', 400)).toBe(400);
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
