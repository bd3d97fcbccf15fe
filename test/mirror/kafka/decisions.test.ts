import { describe, expect, test } from 'vitest';
import { centralPartition, centralTopicName } from '../../../src/mirror/kafka/layout.ts';
import {
  CODE,
  condemnsRecords,
  isBusy,
  isFenced,
  isMoved,
} from '../../../src/mirror/kafka/codes.ts';
import {
  isInDoubt,
  outcomeOf,
  positionsAfterDoubt,
  requireOwnRecords,
  requireSomeBooks,
} from '../../../src/mirror/kafka/doubt.ts';
import { FenceJudge } from '../../../src/mirror/kafka/fencing.ts';
import { Journal } from '../../../src/mirror/kafka/journal.ts';
import { createKafkaUpstream } from '../../../src/mirror/kafka/kafka-upstream.ts';
import { parseAddress } from '../../../src/mirror/kafka/links.ts';
import { acceptPosition, positionMetadata } from '../../../src/mirror/kafka/resume.ts';
import { TopicTrouble } from '../../../src/mirror/kafka/topic-trouble.ts';
import { GatelogError } from '../../../src/errors.ts';
import { partitionOfKey } from '../../../src/murmur2.ts';
import { streamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** The decisions of the exactly-once state machine, without a broker. */
const OWNER = { gateway: 'gw', incarnation: 'aaaa' };
const STREAM = { stream: streamId(4), topic: 'telemetry', partition: 2 };

describe('a position at the far side', () => {
  test('is taken when it is ours', () => {
    const metadata = positionMetadata(OWNER, STREAM, 17);
    expect(metadata).toBe('gw/aaaa/telemetry/2/17');
    expect(acceptPosition(OWNER, STREAM, { offset: 17, metadata })).toBe(17);
    expect(acceptPosition(OWNER, STREAM, { offset: -1, metadata: '' })).toBeUndefined();
  });

  test.each([
    ['another incarnation', 'gw/bbbb/telemetry/2/17', 'belongs to another data folder'],
    ['another topic', 'gw/aaaa/alarms/2/17', 'names alarms/2 instead'],
    ['another partition', 'gw/aaaa/telemetry/1/17', 'names telemetry/1 instead'],
    ['something else', 'hello', 'was not written by gatelog'],
    ['nothing', null, 'was not written by gatelog'],
  ])('is refused when it says %s', (_what, metadata, text) => {
    expect(() => acceptPosition(OWNER, STREAM, { offset: 17, metadata })).toThrow(text);
  });

  test('of the incarnation that we replace counts as none', () => {
    const owner = { ...OWNER, replaces: 'bbbb' };
    const remote = { offset: 17, metadata: 'gw/bbbb/telemetry/2/17' };
    expect(acceptPosition(owner, STREAM, remote)).toBeUndefined();
  });
});

describe('books that were lost with the state database', () => {
  const lost = { lost: true, journal: undefined };

  test('stop an exactly-once mirror when the far side knows nothing either', () => {
    expect(() => requireSomeBooks(lost, 0, [STREAM], 'stop')).toThrow(
      /lost with a damaged state database.*what arrived of telemetry is not known/u,
    );
  });

  test('do not when the far side, a person or nobody’s loss decides', () => {
    requireSomeBooks(lost, 3, [STREAM], 'stop');
    requireSomeBooks(lost, 0, [], 'stop'); // Each stream was sought.
    requireSomeBooks(lost, 0, [STREAM], 'repeat');
    requireSomeBooks({ lost: false, journal: undefined }, 0, [STREAM], 'stop');
    expect(lost.lost).toBe(true);
  });
});

describe('a position beyond our own books', () => {
  const { stream } = STREAM;
  const entry = { clusterId: 'c', confirmed: new Map(), ranges: [], witnesses: [] };

  test.each([
    ['the local position', { ...STREAM, position: 20 }, entry],
    ['what the journal has confirmed', STREAM, { ...entry, confirmed: new Map([[stream, 20]]) }],
    ['what is in doubt', STREAM, { ...entry, ranges: [{ stream, from: 10, to: 20 }] }],
  ])('is one beyond %s, and is refused', (_what, of, books) => {
    expect(() => requireOwnRecords(OWNER, of, 20, books)).not.toThrow();
    expect(() => requireOwnRecords(OWNER, of, 21, books)).toThrow(
      'up to 21, but this data folder has sent it up to 20 only',
    );
  });

  test('is not hidden by what another stream has in doubt', () => {
    const other = { ...entry, ranges: [{ stream: streamId(5), from: 10, to: 20 }] };
    expect(() => requireOwnRecords(OWNER, { ...STREAM, position: 10 }, 11, other)).toThrow(
      'up to 10 only',
    );
  });
});

describe('a fence', () => {
  test('after the transaction ran out is no clone', () => {
    const judge = new FenceJudge(new SimClock());
    expect(judge.judge(30_000, 30_000)).toBe('timed-out');
    expect(judge.judge(29_999, 30_000)).toBe('clone');
    expect(judge.judge(undefined, 30_000)).toBe('clone');
  });

  test('may be our own past once for every unanswered request, for a while', async () => {
    const clock = new SimClock();
    const judge = new FenceJudge(clock);
    judge.noteUnanswered();
    expect(judge.judge(undefined, 30_000)).toBe('own-past');
    expect(judge.judge(undefined, 30_000)).toBe('clone');
    judge.noteUnanswered();
    const late = clock.sleep(600_001);
    await clock.advance(600_001);
    await late;
    expect(judge.judge(undefined, 30_000)).toBe('clone');
  });
});

describe('the journal', () => {
  const entry = {
    clusterId: 'c',
    confirmed: new Map([
      [streamId(0), 5],
      [streamId(2), 8],
    ]),
    ranges: [
      { stream: streamId(0), from: 5, to: 9 },
      { stream: streamId(1), from: 0, to: 3 },
    ],
    witnesses: [{ topic: 't', partition: 1, offset: 44, identity: 'gw/aaaa/t/0/5' }],
  };

  test('gives back what was written', async () => {
    const values = new MemoryLog().keyValue;
    const journal = new Journal(values);
    expect(await journal.read()).toBeUndefined();
    expect(await journal.clusterId()).toBeUndefined();
    await journal.write(entry);
    await journal.rememberCluster('c');
    await journal.markInitialising();
    const next = new Journal(values);
    expect(await next.read()).toEqual(entry);
    expect(await next.clusterId()).toBe('c');
    expect(await next.initialising()).toBe(true);
    await next.clearInitialising();
    expect(await next.initialising()).toBe(false);
    await next.forget();
    expect(await next.read()).toBeUndefined();
    await values.put('transaction', Buffer.from('{'));
    await expect(next.read()).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  });

  test('leaves a doubt only about forgotten streams that have not passed its end', () => {
    expect(isInDoubt(entry, new Map())).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(0), 9]]))).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(7), 0]]))).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(2), 1]]))).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(0), 5]]))).toBe(true);
    // A local position that lags behind what was confirmed is no better.
    expect(isInDoubt(entry, new Map([[streamId(0), 2]]))).toBe(true);
    expect(
      isInDoubt({ ...entry, confirmed: new Map([[streamId(0), 9]]) }, new Map([[streamId(0), 2]])),
    ).toBe(false);
  });

  test('a witness found committed, found otherwise, or gone', () => {
    const [witness] = entry.witnesses;
    if (witness === undefined) throw new Error('there is one');
    const { topic, partition, offset, identity } = witness;
    const record = { topic, partition, offset, timestampMs: 0, key: null, identity };
    const fetched = {
      code: 0,
      records: [record],
      nextOffset: 45,
      stableOffset: 50,
      startOffset: 0,
    };
    expect(outcomeOf(fetched, witness)).toBe('committed');
    expect(outcomeOf({ ...fetched, records: [] }, witness)).toBe('aborted');
    const other = { ...record, identity: 'gw/aaaa/t/0/6' };
    expect(outcomeOf({ ...fetched, records: [other] }, witness)).toBe('aborted');
    expect(outcomeOf({ ...fetched, startOffset: 45 }, witness)).toBe('unknown');
    expect(outcomeOf({ ...fetched, stableOffset: 44 }, witness)).toBe('unknown');
    expect(outcomeOf({ ...fetched, code: CODE.topicAuthorizationFailed }, witness)).toBe('unknown');
  });

  test('the outcome decides for the forgotten streams only; the confirmed ones stay confirmed', () => {
    const local = new Map([
      [streamId(0), 2],
      [streamId(2), 3],
      [streamId(5), 40],
    ]);
    const after = (outcome: 'committed' | 'aborted' | 'unknown') => [
      ...positionsAfterDoubt(outcome, entry, local, 'repeat'),
    ];
    expect(after('committed')).toEqual([
      [streamId(0), 9],
      [streamId(2), 8],
      [streamId(5), 40],
    ]);
    const before = [
      [streamId(0), 5],
      [streamId(2), 8],
      [streamId(5), 40],
    ];
    expect(after('aborted')).toEqual(before);
    expect(after('unknown')).toEqual(before);
    expect(() => positionsAfterDoubt('unknown', entry, local, 'stop')).toThrow(
      'whether they arrived is not known',
    );
  });
});

describe('layout', () => {
  test('the central topic by template', () => {
    expect(centralTopicName('{topic}', 'telemetry', 'gw')).toBe('telemetry');
    expect(centralTopicName('plant.{gateway}.{topic}', 'telemetry', 'gw-1')).toBe(
      'plant.gw-1.telemetry',
    );
    expect(() => centralTopicName('a b {topic}', 't', 'gw')).toThrow('Kafka does not allow');
    expect(() => centralTopicName('{topic}'.repeat(300), 't', 'gw')).toThrow('at most 249');
    expect(() => centralTopicName('..', 't', 'gw')).toThrow('Kafka does not allow');
  });

  test('keys by murmur2, no key by the edge partition', () => {
    const key = Buffer.from('sensor-1');
    expect(centralPartition(key, 3, 12)).toBe(partitionOfKey(key, 12));
    expect(centralPartition(null, 7, 4)).toBe(3);
  });

  test('addresses', () => {
    expect(parseAddress('kafka.example:9092')).toEqual({ host: 'kafka.example', port: 9092 });
    expect(parseAddress('[::1]:9092')).toEqual({ host: '::1', port: 9092 });
    for (const wrong of [
      'kafka',
      'kafka:',
      ':9092',
      'kafka:0',
      'kafka:70000',
      '::1:9092',
      'k:9x',
    ]) {
      expect(() => parseAddress(wrong)).toThrow('host:port');
    }
  });
});

test('error codes fall into disjoint kinds', () => {
  for (const code of Object.values(CODE)) {
    const kinds = [isBusy(code), isMoved(code), isFenced(code), condemnsRecords(code)];
    expect(kinds.filter(Boolean).length).toBeLessThanOrEqual(1);
  }
  expect(isBusy(CODE.concurrentTransactions)).toBe(true);
  expect(isMoved(CODE.notCoordinator)).toBe(true);
  expect(isFenced(CODE.producerFenced) && isFenced(CODE.invalidProducerEpoch)).toBe(true);
  expect(condemnsRecords(CODE.messageTooLarge)).toBe(true);
  expect(condemnsRecords(CODE.notLeaderOrFollower)).toBe(false);
});

test('every error has a disposition', () => {
  const upstream = createKafkaUpstream({
    brokers: ['127.0.0.1:1'],
    gateway: 'gw',
    incarnation: 'aaaa',
    journal: new MemoryLog().keyValue,
    clock: systemClock,
    logger: silentLogger,
  });
  const kindOf = (error: unknown): string => upstream.dispositionOf(error).kind;
  expect(kindOf(new TopicTrouble('UPSTREAM_UNAUTHORIZED', 't', 'no'))).toBe('stop-topic');
  expect(kindOf(new GatelogError('UPSTREAM_FENCED', ''))).toBe('halt');
  expect(kindOf(new GatelogError('UPSTREAM_MISMATCH', ''))).toBe('halt');
  expect(kindOf(new GatelogError('UPSTREAM_UNAUTHENTICATED', ''))).toBe('retry');
  expect(kindOf(new Error('anything'))).toBe('retry');
  expect(kindOf(undefined)).toBe('retry');
});
