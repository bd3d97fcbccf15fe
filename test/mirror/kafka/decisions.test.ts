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
import { parseAddress } from '../../../src/mirror/kafka/address.ts';
import { acceptPosition, positionMetadata } from '../../../src/mirror/kafka/resume.ts';
import { TopicTrouble } from '../../../src/mirror/kafka/topic-trouble.ts';
import { upTo } from '../../../src/coverage.ts';
import { GatelogError } from '../../../src/errors.ts';
import { parseIdentity } from '../../../src/identity.ts';
import { partitionOfKey } from '../../../src/murmur2.ts';
import { type StreamId, streamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** The decisions of the exactly-once state machine, without a broker. */
const OWNER = { gateway: 'gw', incarnation: 'aaaa' };
const STREAM = { stream: streamId(4), topic: 'telemetry', partition: 2 };

describe('a position at the far side', () => {
  test('is taken when it is ours', () => {
    const metadata = positionMetadata(OWNER, STREAM, upTo(17));
    expect(metadata).toBe('gw/aaaa/telemetry/2/17');
    expect(acceptPosition(OWNER, STREAM, { offset: 17, metadata })).toEqual(upTo(17));
    expect(acceptPosition(OWNER, STREAM, { offset: -1, metadata: '' })).toBeUndefined();
  });

  test('tells what was delivered ahead of it', () => {
    const ahead = [
      { from: 40, to: 50 },
      { from: 2 ** 52, to: 2 ** 53 - 1 },
    ];
    const had = { next: 17, ahead };
    const metadata = positionMetadata(OWNER, STREAM, had);
    expect(metadata).toBe('gw/aaaa/telemetry/2/17+40-50,4503599627370496-9007199254740991');
    expect(acceptPosition(OWNER, STREAM, { offset: 17, metadata })).toEqual(had);
    // As a program reads it that knows of no ranges: it refuses instead of going over them again.
    expect(parseIdentity(metadata)).toBeUndefined();
  });

  test('tells how far it was sampled', () => {
    const ahead = [{ from: 40, to: 50 }];
    for (const [had, text] of [
      [{ next: 17, ahead, sampledTo: 60 }, '+40-50~60'],
      [{ next: 17, ahead: [], sampledTo: 60 }, '+~60'],
    ] as const) {
      const metadata = positionMetadata(OWNER, STREAM, had);
      expect(metadata).toBe(`gw/aaaa/telemetry/2/17${text}`);
      expect(acceptPosition(OWNER, STREAM, { offset: 17, metadata })).toEqual(had);
    }
  });

  test.each([
    ['another incarnation', 'gw/bbbb/telemetry/2/17', 'belongs to another data folder'],
    ['another topic', 'gw/aaaa/alarms/2/17', 'names alarms/2 instead'],
    ['another partition', 'gw/aaaa/telemetry/1/17', 'names telemetry/1 instead'],
    ['something else', 'hello', 'was not written by gatelog'],
    ['ranges that are none', 'gw/aaaa/telemetry/2/17+50-40', 'was not written by gatelog'],
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
  const isLost = (stream: StreamId): boolean => stream === STREAM.stream;
  const other = { ...STREAM, stream: streamId(9), topic: 'another' };

  test('stop an exactly-once mirror for each stream that the far side forgot, whatever else it knows', () => {
    expect(() => requireSomeBooks(isLost, [other, STREAM], 'stop')).toThrow(
      /lost with a damaged state database.*none of telemetry either.*what arrived of them is not known/u,
    );
  });

  test('do not when the far side, a person or nobody’s loss decides', () => {
    const decided = [
      [isLost, [], 'stop'], // The far side knows it, or a person sought it.
      [isLost, [STREAM], 'repeat'],
      [isLost, [other], 'stop'], // It came later, or has been found since.
    ] as const;
    for (const [lost, open, whenUnknown] of decided) {
      expect(() => requireSomeBooks(lost, open, whenUnknown)).not.toThrow();
    }
  });
});

describe('a position beyond our own books', () => {
  const { stream } = STREAM;
  const entry = {
    clusterId: 'c',
    confirmed: new Map(),
    ranges: [],
    after: new Map(),
    witnesses: [],
  };

  test.each([
    ['the local position', { ...STREAM, had: upTo(20) }, entry],
    [
      'what the journal has confirmed',
      STREAM,
      { ...entry, confirmed: new Map([[stream, upTo(20)]]) },
    ],
    ['what is in doubt', STREAM, { ...entry, after: new Map([[stream, upTo(20)]]) }],
  ])('is one beyond %s, and is refused', (_what, of, books) => {
    expect(() => requireOwnRecords(OWNER, of, upTo(20), books)).not.toThrow();
    expect(() => requireOwnRecords(OWNER, of, upTo(21), books)).toThrow(
      'up to 21, but this data folder has sent it up to 20 only',
    );
  });

  test('is not hidden by what another stream has in doubt', () => {
    const other = { ...entry, after: new Map([[streamId(5), upTo(20)]]) };
    expect(() => requireOwnRecords(OWNER, { ...STREAM, had: upTo(10) }, upTo(11), other)).toThrow(
      'up to 10 only',
    );
  });

  test('is seen in a hole of ours, too', () => {
    const of = { ...STREAM, had: { next: 10, ahead: [{ from: 50, to: 90 }] } };
    const far = (to: number) => ({ next: to, ahead: [{ from: 50, to: 90 }] });
    expect(() => requireOwnRecords(OWNER, of, far(10), entry)).not.toThrow();
    expect(() => requireOwnRecords(OWNER, of, far(11), entry)).toThrow('sent it up to 90 only');
  });
});

describe('a fence', () => {
  const noExports = () => Promise.resolve(0);
  const untold = () => Promise.resolve('unknown' as const);

  test('after the transaction ran out is no clone', async () => {
    const judge = new FenceJudge(new SimClock(), noExports);
    expect(await judge.judge('gw', 30_000, 30_000, untold)).toBe('timed-out');
    expect(await judge.judge('gw', 29_999, 30_000, untold)).toBe('clone');
    expect(await judge.judge('gw', undefined, 30_000, untold)).toBe('clone');
  });

  test('may be our own past once for every unanswered request, for a while', async () => {
    const clock = new SimClock();
    const judge = new FenceJudge(clock, noExports);
    judge.noteUnanswered('gw');
    expect(await judge.judge('gw', undefined, 30_000, untold)).toBe('own-past');
    expect(await judge.judge('gw', undefined, 30_000, untold)).toBe('clone');
    judge.noteUnanswered('gw');
    const late = clock.sleep(600_001);
    await clock.advance(600_001);
    await late;
    expect(await judge.judge('gw', undefined, 30_000, untold)).toBe('clone');
  });
});

describe('the journal', () => {
  const entry = {
    clusterId: 'c',
    confirmed: new Map([
      [streamId(0), upTo(5)],
      [streamId(2), upTo(8)],
    ]),
    ranges: [
      { stream: streamId(0), from: 5, to: 9 },
      { stream: streamId(1), from: 0, to: 3 },
    ],
    after: new Map([
      [streamId(0), upTo(9)],
      [streamId(1), upTo(3)],
    ]),
    witnesses: [{ topic: 't', partition: 1, offset: 44, identity: 'gw/aaaa/t/0/5' }],
  };

  test('gives back what was written', async () => {
    const values = new MemoryLog().keyValue;
    const journal = new Journal(values);
    expect(await journal.read()).toBeUndefined();
    expect(await journal.clusterId()).toBeUndefined();
    await journal.write(entry);
    await journal.rememberCluster('c');
    await journal.markInitialising(['gw', 'gw#3']);
    const next = new Journal(values);
    expect(await next.read()).toEqual(entry);
    expect(await next.clusterId()).toBe('c');
    expect(await next.initialising([])).toEqual(['gw', 'gw#3']);
    await next.markInitialising([]);
    expect(await next.initialising([])).toEqual([]);
    // As programs wrote it that did not say which.
    await values.put('initialising', Buffer.from('1'));
    expect(await next.initialising(['gw', 'gw#2'])).toEqual(['gw', 'gw#2']);
    const ahead = [{ from: 20, to: 30 }];
    const apart = {
      ...entry,
      confirmed: new Map([[streamId(0), { next: 5, ahead }]]),
      after: new Map([[streamId(0), { next: 9, ahead }]]),
    };
    await next.write(apart);
    expect(await next.read()).toEqual(apart);
    // As programs wrote it that always sent in the order of the log.
    const { after: _, ...older } = { ...entry, confirmed: [[0, 5]], ranges: [[0, 5, 9]] };
    await values.put(
      'transaction',
      Buffer.from(JSON.stringify({ ...older, witnesses: [['t', 1, 44, 'gw/aaaa/t/0/5']] })),
    );
    expect(await next.read()).toEqual({
      ...entry,
      confirmed: new Map([[streamId(0), upTo(5)]]),
      ranges: [{ stream: streamId(0), from: 5, to: 9 }],
      after: new Map([[streamId(0), upTo(9)]]),
    });
    await values.put('transaction', Buffer.from('{'));
    await expect(next.read()).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  });

  test('leaves a doubt only about forgotten streams that have not passed its end', () => {
    expect(isInDoubt(entry, new Map())).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(0), upTo(9)]]))).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(7), upTo(0)]]))).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(2), upTo(1)]]))).toBe(false);
    expect(isInDoubt(entry, new Map([[streamId(0), upTo(5)]]))).toBe(true);
    // A local position that lags behind what was confirmed is no better.
    expect(isInDoubt(entry, new Map([[streamId(0), upTo(2)]]))).toBe(true);
    expect(
      isInDoubt(
        { ...entry, confirmed: new Map([[streamId(0), upTo(9)]]) },
        new Map([[streamId(0), upTo(2)]]),
      ),
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
      [streamId(0), upTo(2)],
      [streamId(2), upTo(3)],
      [streamId(5), upTo(40)],
    ]);
    const after = (outcome: 'committed' | 'aborted' | 'unknown') => [
      ...positionsAfterDoubt(outcome, entry, local, 'repeat'),
    ];
    expect(after('committed')).toEqual([
      [streamId(0), upTo(9)],
      [streamId(2), upTo(8)],
      [streamId(5), upTo(40)],
    ]);
    const before = [
      [streamId(0), upTo(5)],
      [streamId(2), upTo(8)],
      [streamId(5), upTo(40)],
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
