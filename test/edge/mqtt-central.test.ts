import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../src/agent/broker.ts';
import { IngestGate } from '../../src/agent/ingest.ts';
import { decodeHeaders, encodeHeaders, type Header } from '../../src/headers.ts';
import { formatIdentity, parseIdentity } from '../../src/identity.ts';
import { isDeepStrictEqual } from 'node:util';
import { LIMITS } from '../../src/limits.ts';
import type { GapJson } from '../../src/loss.ts';
import { Auditor } from '../../src/mirror/audit.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { createMqttUpstream } from '../../src/mirror/mqtt/mqtt-upstream.ts';
import { ConnectAttempts } from '../../src/mirror/connect-attempts.ts';
import { OwnRecords } from '../../src/mirror/mqtt/own-records.ts';
import { partitionOfKey } from '../../src/murmur2.ts';
import { systemRandom } from '../../src/random.ts';
import { streamId, type StreamId } from '../../src/record.ts';
import type { Store, TopicOptions } from '../../src/store/log.ts';
import { openStore, type StoreOptions } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { listenAt } from '../support/listen.ts';
import { handshakesOf } from '../support/handshakes.ts';
import { entriesOf, fill, folderSize } from '../support/store-kit.ts';
import { readAll } from '../support/read-all.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** Agent to agent: the mqtt upstream of one log into the broker of another, both real, on disk. */
const cleanups: (() => unknown)[] = [];
const patience = { timeout: 60_000, interval: 20 };
const OPTIONS: TopicOptions = {
  partitions: 4,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};

afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
  cleanups.length = 0;
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'gatelog-central-'));
  cleanups.push(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function open(path: string, options: Partial<StoreOptions> = {}): Promise<Store> {
  const parts = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const store = await openStore({ folder: path, ...parts, ledgerIdleMs: 50, ...options });
  cleanups.push(() => store.close());
  return store;
}

interface Central {
  readonly store: Store;
  readonly broker: Broker;
  readonly port: number;
  stop(): Promise<void>;
}

async function startCentral(path: string, port = 0): Promise<Central> {
  const store = await open(path);
  const parts = { clock: systemClock, logger: silentLogger };
  const gate = new IngestGate({
    ...parts,
    writer: store.writer,
    ledger: store.ledger,
    routes: [{ match: '#', topic: 'ordinary', key: '{topic}' }],
    topics: {},
    defaultTopic: OPTIONS,
    central: true,
  });
  const broker = await startBroker({
    ...parts,
    gate,
    listen: [listenAt(`mqtt://127.0.0.1:${port}`)],
    users: [],
    maxPacketBytes: LIMITS.mqttPacketBytes,
  });
  const stop = async (): Promise<void> => {
    await broker.stop();
    await store.close();
  };
  cleanups.push(stop);
  return { store, broker, port: Number(new URL(broker.addresses()[0] ?? '').port), stop };
}

interface Edge {
  readonly store: Store;
  readonly streams: readonly StreamId[];
  sent: number;
}

async function openEdge(): Promise<Edge> {
  const store = await open(await folder());
  const { streams } = store.writer.defineTopic('telemetry', OPTIONS);
  return { store, streams, sent: 0 };
}

function header(key: string, value: string): Header {
  return { key, value: Buffer.from(value) };
}

/** As ingest would: keys by device, some with everything that MQTT 5 can carry. */
function addSome(edge: Edge, count: number): void {
  for (let index = 0; index < count; index++) {
    const number = edge.sent++;
    const topic = `device/${number % 11}`;
    const headers = [
      header('mqtt.topic', topic),
      header('mqtt.qos', String(number % 3)),
      header('mqtt.retain', number % 5 === 0 ? '1' : '0'),
      ...(number % 4 === 0
        ? [
            header('mqtt.content-type', 'text/plain'),
            header('b', '1'),
            header('a', ''),
            header('b', '2'),
          ]
        : []),
    ];
    const key = Buffer.from(number % 2 === 0 ? topic : `key ${number % 7}`);
    const stream = edge.streams[partitionOfKey(key, edge.streams.length)] ?? streamId(-1);
    const value = Buffer.from(String(number));
    edge.store.writer.append(
      stream,
      1_700_000_000_000 + number,
      key,
      value,
      encodeHeaders(headers),
      'fsync',
      () => {},
    );
  }
}

async function startMirror(edge: Edge, port: number, qos: 1 | 2 = 1): Promise<Mirror> {
  const { store } = edge;
  const { incarnation } = store.identity;
  const clock = systemClock;
  const parts = { gateway: 'gw', incarnation, clock, logger: silentLogger };
  const positions = await store.positions('mirror/central', { pins: true });
  const mirror = new Mirror({
    ...parts,
    name: 'central',
    reader: store.reader,
    positions,
    ledger: store.ledger,
    quarantine: {
      writer: store.writer,
      topic: store.writer.defineTopic('_quarantine', { ...OPTIONS, partitions: 1 }),
    },
    decisions: store.keyValue('mirror/central'),
    sampled: store.keyValue('sampled/central'),
    upstream: createMqttUpstream({
      ...parts,
      url: `mqtt://127.0.0.1:${port}`,
      qos,
      own: new OwnRecords(store.keyValue('mqtt'), store.reader),
      handshakes: handshakesOf(store.keyValue('mqtt-mirror'), store.reader, positions),
      attempts: new ConnectAttempts(clock, 10_000), // Its waits are short.
      ackTimeoutMs: 1500,
      connectTimeoutMs: 3000,
    }),
    topics: ['*'],
    batching: { maxRecords: 50 },
    backoff: { firstMs: 20, maxMs: 200 },
    random: systemRandom,
  });
  await mirror.start();
  cleanups.push(() => mirror.stop());
  return mirror;
}

function text(bytes: Uint8Array | null | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}

/** What `gatelog verify` would say of the central log. */
async function audit(central: Store, edge: Edge): Promise<Auditor> {
  const auditor = new Auditor();
  for (const [partition, records] of await readAll(central, 'telemetry')) {
    for (const record of records) {
      const last = decodeHeaders(record.headers).at(-1);
      expect(last?.key).toBe('gatelog.id');
      const place = { topic: 'telemetry', partition, offset: record.offset };
      auditor.feed(parseIdentity(text(last?.value)), text(record.key), place);
    }
  }
  const { incarnation } = edge.store.identity;
  for (const [partition, stream] of edge.streams.entries()) {
    const { endOffset } = edge.store.reader.range(stream);
    const source = { gateway: 'gw', incarnation, topic: 'telemetry', partition };
    auditor.expect(source, { from: 0, to: endOffset });
  }
  return auditor;
}

async function caughtUp(mirror: Mirror, edge: Edge): Promise<void> {
  await new Promise<void>((resolve) => {
    edge.store.writer.settled(() => resolve());
  });
  await expect
    .poll(() => mirror.status(), patience)
    .toMatchObject({ state: 'live', lagRecords: 0, lastError: undefined });
}

async function proxyTo(port: number): Promise<TcpProxy> {
  const proxy = await startTcpProxy({ targetPort: port });
  cleanups.push(() => proxy.close());
  return proxy;
}

test('what an edge lost stands in the _gaps of its centre, beside what the centre lost', async () => {
  const central = await startCentral(await folder());
  const edge = await openEdge();
  const loss = { partition: 1, records: 3, fromOffset: 4, toOffset: 7, bytes: 30 } as const;
  const why = { reason: 'corruption', detail: 'a page was zero', mirror: undefined } as const;
  await startMirror(edge, central.port);
  await edge.store.ledger.record([{ topic: 'telemetry', ...loss, ...why }]);
  await central.store.ledger.record([{ topic: 'ordinary', ...loss, ...why }]);
  const gaps = async (): Promise<unknown[]> =>
    [...(await readAll(central.store, '_gaps')).values()].flat().map(({ key, value, headers }) => ({
      key: Buffer.from(key ?? []).toString(),
      first: (JSON.parse(Buffer.from(value ?? []).toString()) as { firstOffset: number })
        .firstOffset,
      from: parseIdentity(
        Buffer.from(
          decodeHeaders(headers).find(({ key: name }) => name === 'gatelog.id')?.value ?? [],
        ).toString(),
      )?.gateway,
    }));
  await expect.poll(gaps, patience).toHaveLength(2);
  const found = await gaps();
  expect(found).toContainEqual({ key: 'telemetry/1', first: 4, from: 'gw' });
  expect(found).toContainEqual({ key: 'ordinary/1', first: 4, from: undefined });
});

test('a long outage under a small cap: every entry of the ledger arrives once, and none is missing', async () => {
  const central = await startCentral(await folder());
  const proxy = await proxyTo(central.port);
  const path = await folder();
  const openSmall = async (): Promise<Edge> => {
    const store = await open(path, { segmentBytes: 30_000, compression: 'none' });
    const cap = { ...OPTIONS, partitions: 1, retentionBytes: 200_000 };
    return { store, streams: store.writer.defineTopic('telemetry', cap).streams, sent: 0 };
  };
  let edge = await openSmall();
  let mirror = await startMirror(edge, proxy.port);
  await fill(edge.store, { name: '', options: OPTIONS, streams: edge.streams }, 10);
  await caughtUp(mirror, edge);
  await proxy.setMode('refuse');
  const knows = (): boolean => {
    const [stream] = edge.store.reader.topic('_gaps')?.streams ?? [];
    return stream !== undefined && edge.store.reader.range(stream).endOffset > 0;
  };
  for (let life = 0; life < 3; life++) {
    for (let round = 0; round < 7; round++) {
      const topic = { name: '', options: OPTIONS, streams: edge.streams };
      await fill(edge.store, topic, 500, { bytes: 200 });
      await edge.store.retain();
    }
    await expect.poll(knows, patience).toBe(true);
    await mirror.stop();
    await edge.store.close();
    edge = await openSmall();
    mirror = await startMirror(edge, proxy.port);
  }
  // Of 2.4 MB: the cap, what it cuts through, the newest, and one for each life's entry in _gaps, of 65 kB each.
  const bytes = (): Promise<number> => edge.store.retain().then(() => folderSize(path));
  await expect.poll(bytes, patience).toBeLessThan(650_000);
  await proxy.setMode('open');
  await expect
    .poll(async () => {
      const closed = (await entriesOf(edge.store)).map(({ fromOffset }) => fromOffset);
      const arrived = [...(await readAll(central.store, '_gaps')).values()].flat();
      const told = arrived.map(({ value }) => JSON.parse(text(value)) as GapJson);
      return {
        gone: closed.length,
        same: isDeepStrictEqual(
          told.map(({ firstOffset }) => firstOffset),
          closed,
        ),
      };
    }, patience)
    .toEqual({ gone: expect.any(Number), same: true });
  const entries = await entriesOf(edge.store);
  // The first goes into _gaps; what comes while that is not mirrored waits, and grows.
  expect(entries.length).toBeGreaterThan(1);
  expect(entries.length).toBeLessThan(10); // Of 21 rounds that dropped something.
  expect(entries.every(({ topic }) => topic === 'telemetry')).toBe(true);
  await expect
    .poll(() => mirror.status(), patience)
    .toMatchObject({ state: 'live', lagRecords: 0 });
  const auditor = await audit(central.store, edge);
  const { incarnation } = edge.store.identity;
  for (const { fromOffset = 0, toOffset = 0, records, reason } of entries) {
    const source = { gateway: 'gw', incarnation, topic: 'telemetry', partition: 0 };
    auditor.declareLost(source, { from: fromOffset, to: toOffset }, reason, records);
  }
  expect(auditor.report()).toMatchObject({ clean: true, missing: 0, repeats: 0 });
});

describe('into a gatelog central', () => {
  test('a record arrives with its key, its time and all of its headers', async () => {
    const central = await startCentral(await folder());
    const edge = await openEdge();
    addSome(edge, 200);
    const mirror = await startMirror(edge, central.port);
    await caughtUp(mirror, edge);
    const there = await readAll(central.store, 'telemetry');
    const here = await readAll(edge.store, 'telemetry');
    const { incarnation } = edge.store.identity;
    for (const [partition, records] of here) {
      const arrived = there.get(partition) ?? [];
      expect(arrived.map(({ value }) => text(value))).toEqual(
        records.map(({ value }) => text(value)),
      );
      for (const [index, record] of records.entries()) {
        const other = arrived[index];
        expect(text(other?.key)).toBe(text(record.key));
        expect(other?.timestampMs).toBe(record.timestampMs);
        const place = { gateway: 'gw', incarnation, topic: 'telemetry', partition };
        const identity = formatIdentity({ ...place, offset: record.offset });
        const plain = (headers: readonly Header[]): string[] =>
          headers.map(({ key, value }) => `${key}=${text(value)}`);
        // mqtt.content-type may stand before mqtt.topic there; the order of user headers holds.
        const got = plain(decodeHeaders(other?.headers ?? new Uint8Array(0)));
        const own = plain(decodeHeaders(record.headers));
        expect(got.toSorted()).toEqual([...own, `gatelog.id=${identity}`].toSorted());
        const user = (all: string[]): string[] => all.filter((one) => /^[ab]=/u.test(one));
        expect(user(got)).toEqual(user(own));
      }
    }
  });

  test.each([
    [1, 2],
    [2, 1],
  ] as const)(
    'QoS %i: exactly once through cut links, a lost position and restarts of both sides',
    async (qos, rounds) => {
      const path = await folder();
      let central = await startCentral(path);
      const { port } = central;
      const proxy = await proxyTo(port);
      const edge = await openEdge();
      let mirror = await startMirror(edge, proxy.port, qos);
      const faults: (() => Promise<void>)[] = [
        () => Promise.resolve(proxy.resetAll()),
        () => proxy.setMode('silent'),
        () => proxy.setMode('refuse'),
        () => Promise.resolve(proxy.halfOpenAll()),
        async () => {
          await central.stop();
          central = await startCentral(path, port);
        },
        async () => {
          await mirror.stop();
          // As if nothing had been confirmed: everything is sent once more.
          const positions = await edge.store.positions('mirror/central', { pins: true });
          await positions.seek(new Map(edge.streams.map((stream) => [stream, 0])));
          mirror = await startMirror(edge, proxy.port, qos);
        },
      ];
      for (const fault of Array.from({ length: rounds }, () => faults).flat()) {
        addSome(edge, 300);
        const before = mirror.status();
        await expect.poll(() => mirror.status().recordsSent, patience).toBeGreaterThan(0);
        await fault();
        addSome(edge, 300);
        if (proxy.mode === 'open') continue;
        await expect.poll(() => mirror.status().lastError, patience).not.toEqual(before.lastError);
        await proxy.setMode('open');
      }
      await new Promise<void>((resolve) => {
        edge.store.writer.settled(() => resolve());
      });
      await expect
        .poll(() => mirror.status(), patience)
        .toMatchObject({ state: 'live', lagRecords: 0 });
      const report = (await audit(central.store, edge)).report();
      expect(report).toMatchObject({
        clean: true,
        records: edge.sent,
        repeats: 0,
        missing: 0,
        disorder: 0,
      });
    },
  );
});
