import { expect, test } from 'vitest';
import { upTo } from '../../src/coverage.ts';
import { GatelogError } from '../../src/errors.ts';
import { MirrorLosses } from '../../src/mirror/losses.ts';
import { streamId } from '../../src/record.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { LONG_MS, rig } from './mirror-rig.ts';

/** What the ledger was told, without what is the same in all of them. */
const told = ({ log }: ReturnType<typeof rig>): unknown[] =>
  log.told.map(({ topic, partition, fromOffset, toOffset, records, reason, mirror }) => [
    `${topic}/${partition} ${fromOffset}-${toOffset}`,
    records,
    reason,
    mirror,
  ]);

test('what the log does not hold is told before the position moves past it', async () => {
  const it = rig();
  const { clock, log, mirror, positions } = it;
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (let index = 0; index < 10; index++) log.add(stream, String(index));
  log.corrupt(stream, 4, 6);
  log.failLedger = new GatelogError('STORE_WRITE_FAILED', 'no space left');
  await mirror.start();
  log.trim(stream, 2);
  await clock.until(() => mirror.status().state === 'backing off');
  await clock.advance(LONG_MS);
  expect(positions.get(stream)).toBeLessThanOrEqual(4);
  expect(mirror.status().lastError?.text).toContain('no space left');
  log.failLedger = undefined;
  await clock.until(() => mirror.status().lagRecords === 0);
  await clock.settled(mirror.stop());
  expect(it.texts()).toEqual(['2', '3', '6', '7', '8', '9']);
  expect(told(it)).toEqual(
    expect.arrayContaining([
      ['t/0 0-2', 2, 'retention', 'central'],
      ['t/0 4-5', 1, 'corruption', undefined],
      ['t/0 5-6', 1, 'corruption', undefined],
    ]),
  );
});

test('a person’s seek is told: what is left out, and what comes again', async () => {
  const it = rig();
  const { clock, log, mirror } = it;
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (let index = 0; index < 10; index++) log.add(stream, String(index));
  await mirror.start();
  await clock.until(() => mirror.status().lagRecords === 0);
  await mirror.seek({ topic: 't', to: 7 });
  await clock.until(() => it.texts().length === 13);
  await mirror.pause();
  for (let index = 10; index < 15; index++) log.add(stream, String(index));
  await mirror.seek({ topic: 't', to: 14 });
  await mirror.resume();
  await clock.until(() => mirror.status().lagRecords === 0);
  await clock.settled(mirror.stop());
  expect(it.texts().at(-1)).toBe('14');
  expect(told(it)).toEqual([
    ['t/0 7-10', 3, 'rewound', 'central'],
    ['t/0 10-14', 4, 'skipped', 'central'],
  ]);
});

test('what the far side refuses is told once, though a session fails in between', async () => {
  let rejects = true;
  const it = rig({
    reject: (_at, { offset }) => (rejects && offset % 3 === 0 ? `no ${offset}` : undefined),
  });
  const { clock, log, mirror, quarantine } = it;
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (let index = 0; index < 9; index++) log.add(stream, String(index));
  log.failLedger = new GatelogError('STORE_WRITE_FAILED', 'no space left');
  await mirror.start();
  await clock.until(() => mirror.status().state === 'backing off');
  await clock.advance(LONG_MS);
  log.failLedger = undefined;
  await clock.until(() => mirror.status().lagRecords === 0);
  rejects = false;
  await clock.settled(mirror.stop());
  expect(told(it)).toEqual([['t/0 0-7', 3, 'rejected', 'central']]);
  expect(log.told[0]).toMatchObject({ detail: 'no #', bytes: 3 });
  expect(log.records(quarantine.streams[0] ?? streamId(-1))).toHaveLength(3);
});

test('of samples is remembered what was told and not had yet, also where a rest of before is owed', async () => {
  const log = new MemoryLog();
  const stream = streamId(3);
  const streams = new Map([[stream, { stream, topic: 't', partition: 0 }]]);
  const losses = new MirrorLosses(log.ledger, 'central', () => ({ next: 0, ahead: [] }));
  const tell = async (from: number): Promise<number> => {
    const [before, to] = [log.told.length, from + 10];
    const left = [{ from, to: to - 1 }];
    const rest = 'ledger';
    await losses.sampled(streams, [{ stream, from, to, kept: [to - 1], left, leftBytes: 9, rest }]);
    return log.told.length - before;
  };
  // Below 5 a sample went when the rest was to follow: the position stays until it does.
  const had = (to: number) =>
    new Map([[stream, { next: 0, ahead: [{ from: 5, to }], sampledTo: 5 }]]);
  expect([await tell(5), await tell(15)]).toEqual([1, 1]);
  losses.passed(had(15));
  expect([await tell(5), await tell(15)]).toEqual([1, 0]);
  losses.passed(had(25));
  expect([await tell(5), await tell(15)]).toEqual([1, 1]);
});

test('what could not be told while something else was being told is told later', async () => {
  const log = new MemoryLog();
  const stream = streamId(3);
  const streams = new Map([[stream, { stream, topic: 't', partition: 0 }]]);
  const answers: PromiseWithResolvers<void>[] = [];
  const recorded: number[][] = [];
  const record: typeof log.ledger.record = (losses) => {
    recorded.push(losses.map(({ fromOffset = -1 }) => fromOffset));
    const answer = Promise.withResolvers<void>();
    answers.push(answer);
    return answer.promise;
  };
  const losses = new MirrorLosses({ ...log.ledger, record }, 'central', () => upTo(0));
  const refuse = (...offsets: number[]): Promise<void> =>
    losses.refused(
      streams,
      offsets.map((offset) => ({ stream, reason: 'no', record: { ...RECORD, offset } })),
    );
  const first = refuse(1);
  const second = refuse(5);
  answers[1]?.reject(new GatelogError('STORE_WRITE_FAILED', 'no space left'));
  await expect(second).rejects.toThrow('no space left');
  answers[0]?.resolve();
  await first;
  const third = refuse();
  answers[2]?.resolve();
  await third;
  expect(recorded.at(-1)).toEqual([5]);
});

const RECORD = { timestampMs: 0, key: null, value: null, headers: new Uint8Array(0) };
