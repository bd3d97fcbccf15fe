import { describe, expect, test } from 'vitest';
import { IngestGate, type IngestOptions } from '../../src/agent/ingest.ts';
import type { PublishProperties, Qos } from '../../src/agent/publication.ts';
import { decodeHeaders } from '../../src/headers.ts';
import { LIMITS } from '../../src/limits.ts';
import { partitionOfKey } from '../../src/murmur2.ts';
import { silentLogger, type Logger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { MemoryWriter } from '../support/memory-writer.ts';
import { ingestOptions, TELEMETRY } from '../support/mqtt-broker.ts';

interface Outcome {
  readonly logged: boolean;
  readonly settled: Promise<{ error: Error | null; offset: number }>;
}

class Bench {
  readonly writer = new MemoryWriter();
  readonly gate: IngestGate;

  constructor(changes: Partial<IngestOptions> = {}) {
    this.gate = new IngestGate(ingestOptions(this.writer, changes));
  }

  publish(
    topic: string,
    payload: string,
    options: { qos?: Qos; client?: string; properties?: PublishProperties } = {},
  ): Outcome {
    let logged = false;
    const settled = new Promise<{ error: Error | null; offset: number }>((resolve) => {
      logged = this.gate.publish(
        this.gate.entry(topic),
        options.client ?? 'device',
        Buffer.from(payload),
        options.qos ?? 1,
        false,
        options.properties,
        (error, offset) => resolve({ error, offset }),
      );
    });
    return { logged, settled };
  }

  keyed(index: number): string {
    return Buffer.from(this.writer.records[index]?.key ?? []).toString();
  }
}

function user(...pairs: string[]): PublishProperties {
  return {
    payloadFormat: false,
    messageExpirySeconds: undefined,
    contentType: undefined,
    responseTopic: undefined,
    correlationData: undefined,
    user: pairs,
  };
}

describe('records', () => {
  test('key is the MQTT topic, partition is Kafka’s for that key, payload untouched', async () => {
    const bench = new Bench();
    const { logged, settled } = bench.publish('plant/7/temp', '21.5');
    expect(logged).toBe(true);
    expect(await settled).toEqual({ error: null, offset: 0 });
    const [record] = bench.writer.records;
    const streams = bench.writer.topics.get('telemetry')?.streams ?? [];
    expect(bench.keyed(0)).toBe('plant/7/temp');
    expect(record?.stream).toBe(streams[partitionOfKey(Buffer.from('plant/7/temp'), 8)]);
    expect(Buffer.from(record?.value ?? []).toString()).toBe('21.5');
    expect(record?.durability).toBe('fsync');
    expect(decodeHeaders(record?.headers ?? new Uint8Array()).map(({ key }) => key)).toEqual([
      'mqtt.topic',
      'mqtt.qos',
      'mqtt.retain',
    ]);
  });

  test('a key with the client in it differs by client', async () => {
    const bench = new Bench({ routes: [{ match: '#', topic: 'telemetry', key: '{client}/{1}' }] });
    await bench.publish('a/b', 'x', { client: 'one' }).settled;
    await bench.publish('a/b', 'x', { client: 'two' }).settled;
    expect([bench.keyed(0), bench.keyed(1)]).toEqual(['one/a', 'two/a']);
  });

  test('durability none is for QoS 0 only', async () => {
    const options = { ...TELEMETRY, durability: 'none' } as const;
    const bench = new Bench({ topics: { telemetry: options } });
    for (const qos of [0, 1, 2] as const) await bench.publish('a', 'x', { qos }).settled;
    expect(bench.writer.records.map((record) => record.durability)).toEqual([
      'none',
      'fsync',
      'fsync',
    ]);
    expect(bench.gate.counters().appended).toEqual({ fsync: 2, os: 0, none: 1 });
  });

  test('no route, or a $ topic: not logged, counted', () => {
    const bench = new Bench({ routes: [{ match: 'a/#', topic: 'telemetry', key: '{topic}' }] });
    expect(bench.publish('b', 'x').logged).toBe(false);
    expect(bench.publish('$share-nothing/x', 'x').logged).toBe(false);
    expect(bench.writer.waiting).toBe(0);
    expect(bench.gate.counters()).toMatchObject({ received: 2, unrouted: 2, receivedBytes: 2 });
  });

  test('a topic that a route names and nobody described has the default options', () => {
    const bench = new Bench({
      routes: [{ match: '#', topic: 'other', key: '{topic}' }],
      defaultTopic: { ...TELEMETRY, partitions: 3 },
    });
    expect(bench.writer.topics.get('other')?.streams).toHaveLength(3);
  });

  test('remembered topics are bounded; a forgotten one is learnt again', () => {
    const bench = new Bench();
    const first = bench.gate.entry('first');
    expect(bench.gate.known('first')).toBe(first);
    for (let index = 0; index < LIMITS.routeCacheTopics; index++) bench.gate.entry(`t/${index}`);
    expect(bench.gate.known('first')).toBeUndefined();
    expect(bench.gate.known('t/1')).toBeDefined();
    expect(bench.publish('first', 'x').logged).toBe(true);
  });
});

test('a log that can’t write is said now and then, not for every message', () => {
  const lines: Record<string, unknown>[] = [];
  let now = 0;
  const bench = new Bench({
    logger: { ...silentLogger, warn: (fields) => lines.push(fields) },
    clock: { ...systemClock, monotonicMs: () => now },
  });
  for (let index = 0; index < 100; index++) bench.gate.failed(new Error('no space'), 'pump');
  now = LIMITS.failureLineMs;
  bench.gate.failed(new Error('no space'), 'pump');
  expect(lines).toEqual([
    { client: 'pump', error: 'no space', failed: 1 },
    { client: 'pump', error: 'no space', failed: 101 },
  ]);
  expect(bench.gate.counters().failed).toBe(101);
});

describe('central mode', () => {
  const identity = 'gw-1/0123456789abcdef/alarms/3/41';

  test('topic, key and timestamp come from the properties; a repeat is dropped', async () => {
    const bench = new Bench({ central: true });
    const properties = user(
      'gatelog.id',
      identity,
      'gatelog.key',
      'k',
      'gatelog.ts',
      '1700000000123',
    );
    await bench.publish('up/x', 'v', { properties }).settled;
    expect(await bench.publish('up/x', 'v', { properties }).settled).toEqual({
      error: null,
      offset: -1,
    });
    expect(bench.writer.records).toHaveLength(1);
    const [record] = bench.writer.records;
    expect(record).toMatchObject({
      timestampMs: 1_700_000_000_123,
      producer: 'gw-1/0123456789abcdef/alarms/3',
      sequence: 41,
    });
    expect(bench.keyed(0)).toBe('k');
    expect(bench.writer.topics.get('alarms')?.streams).toContain(record?.stream);
    const headers = decodeHeaders(record?.headers ?? new Uint8Array());
    expect(headers.filter(({ key }) => key.startsWith('gatelog.')).map(({ key }) => key)).toEqual([
      'gatelog.id',
    ]);
  });

  test('the acknowledgement of a repeat waits for the original', async () => {
    const bench = new Bench({ central: true });
    bench.writer.hold();
    const properties = user('gatelog.id', identity);
    const order: string[] = [];
    void bench.publish('a', 'v', { properties }).settled.then(() => order.push('original'));
    const repeat = bench.publish('a', 'v', { properties }).settled.then(() => order.push('repeat'));
    expect(bench.writer.waiting).toBe(2);
    bench.writer.release();
    await repeat;
    expect(order).toEqual(['original', 'repeat']);
  });

  test('a key that is not text, and the MQTT topic when there is none', async () => {
    const bench = new Bench({ central: true });
    const binary = user(
      'gatelog.id',
      identity,
      'gatelog.key64',
      Buffer.from([255, 0]).toString('base64'),
    );
    await bench.publish('a', 'v', { properties: binary }).settled;
    await bench.publish('a/b', 'v', { properties: user('gatelog.id', 'g/i/t/0/0') }).settled;
    expect(Buffer.from(bench.writer.records[0]?.key ?? [])).toEqual(Buffer.from([255, 0]));
    expect(bench.keyed(1)).toBe('a/b');
  });

  test.each(['not an identity', 'a/b/c/d/e', 'g/i/t/0/99999999999999999999', 'g/i/bad topic!/0/1'])(
    'a malformed identity (%s) is an ordinary message',
    async (text) => {
      const bench = new Bench({ central: true });
      await bench.publish('a', 'v', { properties: user('gatelog.id', text) }).settled;
      const [record] = bench.writer.records;
      expect(record?.producer).toBeUndefined();
      expect(decodeHeaders(record?.headers ?? new Uint8Array()).at(-1)?.key).toBe(
        'user.gatelog.id',
      );
    },
  );

  test('an agent that is no central takes no identity', async () => {
    const bench = new Bench();
    await bench.publish('a', 'v', { properties: user('gatelog.id', identity) }).settled;
    expect(bench.writer.records[0]?.producer).toBeUndefined();
    expect(bench.writer.topics.has('alarms')).toBe(false);
  });
});

test('a record of this very log that comes back is not stored again, and said once', async () => {
  const lines: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_fields, message) => void lines.push(message) };
  const own = { gateway: 'gw', incarnation: '0123456789abcdef' };
  for (const central of [false, true]) {
    const bench = new Bench({ own, logger, central });
    const mine = user('gatelog.id', 'gw/0123456789abcdef/telemetry/0/7');
    expect(bench.publish('a/b', '1', { properties: mine }).logged).toBe(false);
    expect(bench.publish('a/b', '2', { properties: mine, qos: 0 }).logged).toBe(false);
    const other = user('gatelog.id', 'gw/fedcba9876543210/telemetry/0/7');
    expect(bench.publish('a/b', '3', { properties: other }).logged).toBe(true);
    expect(bench.gate.counters()).toMatchObject({ received: 3, returned: 2, unrouted: 0 });
    await bench.gate.close();
  }
  expect(lines).toEqual([
    expect.stringContaining('a record of this gateway came back on "a/b"'),
    expect.stringContaining('a record of this gateway came back on "a/b"'),
  ]);
});
