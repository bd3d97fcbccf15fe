import { describe, expect, test } from 'vitest';
import { partitionOfKey } from '../../src/murmur2.ts';
import { seededRandom } from '../../src/random.ts';
import { planFaults } from '../support/hunt/faults.ts';
import { CentralOracle } from '../support/hunt/kafka-oracle.ts';
import { LogOracle, type ReadRecord } from '../support/hunt/log-oracle.ts';
import { Ledger, type Message, payloadOf } from '../support/hunt/messages.ts';

/** The hunts' oracles must see each kind of damage; an oracle that can't fail proves nothing. */
function message(sequence: number, over: Partial<Message> = {}): Message {
  const base = { id: `d-${sequence}`, device: 'd', sequence, mqttTopic: 'a/b', payloadBytes: 90 };
  return { ...base, qos: 1, attempts: 1, acked: false, copies: 0, ...over };
}

function recordOf(sent: Message, offset: number): ReadRecord {
  return {
    topic: 't',
    partition: partitionOfKey(Buffer.from(sent.mqttTopic), 4),
    offset,
    key: sent.mqttTopic,
    value: payloadOf(sent),
    headers: [
      ['mqtt.topic', sent.mqttTopic],
      ['mqtt.qos', String(sent.qos)],
      ['mqtt.retain', '0'],
    ],
  };
}

function altered(record: ReadRecord): ReadRecord {
  return { ...record, value: Buffer.concat([record.value.subarray(0, -1), Buffer.from([0])]) };
}

function central(record: ReadRecord, offset: number): ReadRecord {
  const identity = `gw/inc/t/${record.partition}/${record.offset}`;
  const headers = [...record.headers, ['gatelog.id', identity] as const];
  return { ...record, topic: 'gw.t', partition: 0, offset, headers };
}

function setUp(count: number): { ledger: Ledger; oracle: LogOracle; records: ReadRecord[] } {
  const ledger = new Ledger();
  const messages = Array.from({ length: count }, (_, index) => message(index));
  for (const sent of messages) {
    ledger.add(sent);
    ledger.acknowledge(sent);
  }
  const oracle = new LogOracle(ledger, new Map([['t', 4]]));
  return { ledger, oracle, records: messages.map((sent, index) => recordOf(sent, index)) };
}

describe('the log oracle', () => {
  test('finds nothing wrong with a whole log, read twice', () => {
    const { oracle, records } = setUp(5);
    for (const record of [...records, ...records]) oracle.record(record);
    const { partition } = recordOf(message(0), 0);
    oracle.ranges([{ topic: 't', partition, start: 0, end: 5 }]);
    oracle.finish();
    expect(oracle.problems).toEqual([]);
  });

  test('takes a resend of an unacknowledged message as a record of its own', () => {
    const { ledger, oracle, records } = setUp(2);
    const resent = message(2, { attempts: 2 });
    ledger.add(resent);
    for (const record of [...records, recordOf(resent, 2), recordOf(resent, 3)]) {
      oracle.record(record);
    }
    oracle.finish();
    expect(oracle.problems).toEqual([]);
    expect(ledger.resendCopies()).toBe(1);
  });

  const damages: readonly [string, RegExp, (records: ReadRecord[]) => ReadRecord[]][] = [
    ['an acknowledged record that is missing', /not in the log/u, (all) => all.slice(0, -1)],
    ['a hole', /hole/u, (all) => all.toSpliced(1, 1)],
    [
      'an altered payload',
      /payload altered/u,
      (all) => all.with(1, altered(recordOf(message(1), 1))),
    ],
    ['a reused offset', /reused/u, (all) => [...all, recordOf(message(0), 3)]],
    ['a record of nobody', /foreign/u, (all) => [...all, recordOf(message(99), 5)]],
    [
      'a repeat of what was sent once',
      /2 records of 1/u,
      (all) => [...all, recordOf(message(1), 5)],
    ],
    [
      'disorder of one device',
      /d-0 after d-1/u,
      (all) => [recordOf(message(1), 0), recordOf(message(0), 1), ...all.slice(2)],
    ],
    [
      'a wrong partition',
      /belongs in/u,
      (all) => [...all, { ...recordOf(message(1), 0), partition: 9 }],
    ],
    ['a wrong key', /key "x"/u, (all) => all.with(4, { ...recordOf(message(4), 4), key: 'x' })],
    [
      'lost headers',
      /mqtt.topic/u,
      (all) => all.with(4, { ...recordOf(message(4), 4), headers: [] }),
    ],
  ];

  test.each(damages)('sees %s', (_, expected, damage) => {
    const { oracle, records } = setUp(5);
    for (const record of damage(records)) oracle.record(record);
    oracle.finish();
    expect(oracle.problems.join('\n')).toMatch(expected);
  });

  test('sees that a reader was shown what a crash took back', () => {
    const { oracle, records } = setUp(5);
    for (const record of records) oracle.record(record);
    const { partition } = recordOf(message(0), 0);
    oracle.shown({ topic: 't', partition, offset: 4, id: 'd-4' });
    expect(oracle.problems).toEqual([]);
    oracle.shown({ topic: 't', partition, offset: 5, id: 'd-5' });
    expect(oracle.problems.join('\n')).toMatch(/a reader saw d-5/u);
  });

  const ranges: readonly [string, RegExp, { start: number; end: number }][] = [
    ['a log that ends before what was read', /ends at 4/u, { start: 0, end: 4 }],
    ['a log that claims more than it gives', /only 5 can be read/u, { start: 0, end: 6 }],
    ['a start beyond what was ever read', /starts at 7/u, { start: 7, end: 7 }],
  ];

  test.each(ranges)('sees %s', (_, expected, { start, end }) => {
    const { oracle, records } = setUp(5);
    for (const record of records) oracle.record(record);
    oracle.ranges([{ topic: 't', partition: recordOf(message(0), 0).partition, start, end }]);
    expect(oracle.problems.join('\n')).toMatch(expected);
  });
});

describe('the central oracle', () => {
  function judge(change: (records: ReadRecord[]) => ReadRecord[]): readonly string[] {
    const { records } = setUp(4);
    const oracle = new CentralOracle('gw', 'inc', (topic) => `gw.${topic}`);
    for (const record of records) oracle.expect(record);
    for (const record of change(records.map(central))) oracle.central(record);
    oracle.finish();
    return oracle.problems;
  }

  test('finds nothing wrong with a faithful copy', () => {
    expect(judge((all) => all)).toEqual([]);
  });

  const first = central(recordOf(message(0), 0), 0);
  const damages: readonly [string, RegExp, (records: ReadRecord[]) => ReadRecord[]][] = [
    ['a missing record', /is not in Kafka/u, (all) => all.slice(1)],
    ['a repeat', /for the 2. time/u, (all) => [...all, ...all.slice(-1)]],
    ['disorder', /after @3/u, (all) => all.toReversed()],
    [
      'a foreign record',
      /is not in the log/u,
      (all) => [...all, central(recordOf(message(9), 9), 9)],
    ],
    [
      'an altered value',
      /value altered/u,
      (all) => all.with(0, { ...first, value: Buffer.from('x') }),
    ],
    ['another key', /key "x"/u, (all) => all.with(0, { ...first, key: 'x' })],
    ['a missing identity', /last header/u, (all) => all.with(0, { ...first, headers: [] })],
    [
      'a lost header',
      /headers/u,
      (all) => all.with(0, { ...first, headers: first.headers.slice(1) }),
    ],
    [
      'a key in two partitions',
      /as well/u,
      (all) => all.with(3, { ...central(recordOf(message(3), 3), 0), partition: 1 }),
    ],
  ];

  test.each(damages)('sees %s', (_, expected, damage) => {
    expect(judge(damage).join('\n')).toMatch(expected);
  });
});

describe('the plan of faults', () => {
  test('is the same for the same seed and holds every kind', () => {
    const plan = planFaults(seededRandom(7), 30);
    expect(planFaults(seededRandom(7), 30)).toEqual(plan);
    expect(planFaults(seededRandom(8), 30)).not.toEqual(plan);
    expect(plan).toHaveLength(30);
    expect([...new Set(plan.map(({ fault }) => fault.kind))].toSorted()).toEqual([
      'agent-kill',
      'agent-stop',
      'broker-kill',
      'broker-stop',
      'cut',
      'link-half-open',
      'link-refuse',
      'link-reset',
      'link-silent',
    ]);
  });
});
