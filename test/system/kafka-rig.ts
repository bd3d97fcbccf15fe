import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { GatelogError } from '../../src/errors.ts';
import { encodeHeaders } from '../../src/headers.ts';
import { upTo } from '../../src/coverage.ts';
import { formatIdentity } from '../../src/identity.ts';
import { ConnectAttempts } from '../../src/mirror/connect-attempts.ts';
import { createKafkaUpstream } from '../../src/mirror/kafka/kafka-upstream.ts';
import type { KafkaUpstreamOptions } from '../../src/mirror/kafka/options.ts';
import type { Rejection, Upstream } from '../../src/mirror/upstream.ts';
import { partitionOfKey } from '../../src/murmur2.ts';
import { type LogRecord, streamId, type StreamId } from '../../src/record.ts';
import type { KeyValue, Slice } from '../../src/store/log.ts';
import { type InOrderSession, inOrder, inOrderSession } from '../support/in-order.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { gatewayGrants } from '../support/kafka/admin.ts';
import type { KafkaCluster } from '../support/kafka/cluster.ts';
import type { Listener } from '../support/kafka/state.ts';
import { type ConsumedRecord, kcatConsume } from '../support/kafka/tools.ts';

export function memoryKeyValue(): KeyValue {
  const values = new Map<string, Uint8Array>();
  return {
    get: (key) => Promise.resolve(values.get(key)),
    put: (key, value) => {
      values.set(key, value);
      return Promise.resolve();
    },
    delete: (key) => {
      values.delete(key);
      return Promise.resolve();
    },
  };
}

/** What a process with a new journal goes by: the far side alone. */
export const NO_BOOKS: Partial<KafkaUpstreamOptions> = { isPositionLost: () => true };

const HEADERS = encodeHeaders([
  { key: 'mqtt.topic', value: Buffer.from('plant/a') },
  { key: 'tag', value: null },
  { key: 'tag', value: Buffer.from('zweimal') },
]);

export const INCARNATION = '00112233445566aa';
let names = 0;

export function freshName(kind: string): string {
  return `${kind}-${process.pid}-${Date.now().toString(36)}-${names++}`;
}

function isEarly(error: unknown): boolean {
  return error instanceof GatelogError && error.code === 'UPSTREAM_UNAUTHORIZED';
}

function isSlow(error: unknown): boolean {
  return error instanceof GatelogError && error.code === 'UPSTREAM_UNREACHABLE';
}

export interface GatewayOptions {
  readonly listener?: Listener;
  readonly partitions?: number;
  readonly grant?: boolean;
  /** Rights for one transactional id only. */
  readonly single?: boolean;
  /** Made, and rights granted, besides its own. */
  readonly otherTopics?: readonly string[];
  readonly upstream?: Partial<KafkaUpstreamOptions>;
}

/** A gateway's log as arrays, and the simplest pump that keeps the contract. */
export class TestGateway {
  readonly name: string;
  readonly topic: string;
  readonly streams: readonly StreamId[];
  readonly records: Map<StreamId, LogRecord[]>;
  readonly positions: Map<StreamId, number> = new Map();
  readonly rejected: Rejection[] = [];
  readonly failures: unknown[] = [];
  readonly options: KafkaUpstreamOptions;
  readonly upstream: Upstream;
  /** What the far side said when the last session began. */
  sessionPositions: ReadonlyMap<StreamId, number> = new Map();
  connects = 0;

  constructor(topic: string, options: KafkaUpstreamOptions, records: Map<StreamId, LogRecord[]>) {
    this.name = options.gateway;
    this.topic = topic;
    this.options = options;
    this.records = records;
    this.streams = [...records.keys()];
    this.upstream = createKafkaUpstream(options);
  }

  /** Another process on the same log and journal, or what `changes` says, without positions. */
  reborn(changes: Partial<KafkaUpstreamOptions> = {}): TestGateway {
    return new TestGateway(this.topic, { ...this.options, ...changes }, this.records);
  }

  /** Records with keys, spread as an agent would, and one without a key for each partition. */
  fill(count: number, valueBytes = 0): void {
    for (let index = 0; index < count; index++) {
      const key = index % 10 === 9 ? null : Buffer.from(`sensor-${index % 23}`);
      const partition =
        key === null ? index % this.streams.length : partitionOfKey(key, this.streams.length);
      const value = Buffer.from(`${index}`.padEnd(valueBytes, '.'));
      this.append(partition, { key, value });
    }
  }

  append(
    partition: number,
    record: { key: Buffer | null; value: Buffer; timestampMs?: number },
  ): number {
    const records = this.records.get(streamId(partition)) ?? [];
    const offset = records.length;
    records.push({ offset, timestampMs: systemClock.nowMs(), headers: HEADERS, ...record });
    return offset;
  }

  get total(): number {
    return [...this.records.values()].reduce((sum, records) => sum + records.length, 0);
  }

  /** `only`: what the session is about, where that is not everything. */
  async connect(
    signal: AbortSignal = AbortSignal.timeout(60_000),
    only: readonly StreamId[] = this.streams,
  ): Promise<InOrderSession> {
    this.connects++;
    const all = this.streams.map((stream, partition) => ({
      stream,
      topic: this.topic,
      partition,
      had: upTo(this.positions.get(stream) ?? 0),
    }));
    const streams = all.filter(({ stream }) => only.includes(stream));
    const session = await this.upstream.connect(streams, signal, {
      seek: new Map(),
      quarantine: (rejected) => {
        this.rejected.push(...rejected);
        return Promise.resolve();
      },
    });
    return inOrderSession(session);
  }

  /** Rights that were just granted reach the brokers one by one, and a machine may be slow. */
  async connectSoon(): Promise<InOrderSession> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.connect();
      } catch (error) {
        if (!(isEarly(error) || isSlow(error)) || attempt === 50) throw error;
        await systemClock.sleep(100);
      }
    }
  }

  next(from: Map<StreamId, number>, perStream: number): Slice[] {
    return this.streams.flatMap((stream) => {
      const start = from.get(stream) ?? 0;
      const records = (this.records.get(stream) ?? []).slice(start, start + perStream);
      from.set(stream, start + records.length);
      return records.length === 0 ? [] : [{ stream, records }];
    });
  }

  /** Sends everything, reconnecting after every failure that says so. */
  async mirror(perStream = 50, patienceMs = 120_000): Promise<void> {
    const end = systemClock.monotonicMs() + patienceMs;
    for (;;) {
      let session: InOrderSession | undefined;
      try {
        session = await this.connect();
        await Promise.race([this.#pump(session, perStream), session.broken]);
        return;
      } catch (error) {
        if (isEarly(error) && systemClock.monotonicMs() < end) continue;
        this.failures.push(error);
        const { kind } = this.upstream.dispositionOf(error);
        if (kind !== 'retry' || systemClock.monotonicMs() > end) throw error;
      } finally {
        await session?.close();
      }
      await systemClock.sleep(100);
    }
  }

  async #pump(session: InOrderSession, perStream: number): Promise<void> {
    this.sessionPositions = session.positions;
    const from = new Map(this.positions);
    for (const [stream, position] of session.positions) from.set(stream, position);
    const flights: Promise<void>[] = [];
    for (;;) {
      const batch = this.next(from, perStream);
      if (batch.length === 0) break;
      if (flights.length >= 4) await flights.shift();
      const flight = session.send(batch).then(() => {
        for (const [stream, { next }] of inOrder(batch)) this.positions.set(stream, next);
        return undefined;
      });
      flight.catch(() => {}); // Awaited in turn.
      flights.push(flight);
    }
    await Promise.all(flights);
  }

  /** The identities that must stand in Kafka, those rejected left out. */
  identities(): string[] {
    const skipped = new Set(this.rejected.map(({ stream, offset }) => `${stream}:${offset}`));
    return this.streams.flatMap((stream, partition) =>
      (this.records.get(stream) ?? [])
        .filter(({ offset }) => !skipped.has(`${stream}:${offset}`))
        .map(({ offset }) =>
          formatIdentity({
            gateway: this.name,
            incarnation: INCARNATION,
            topic: this.topic,
            partition,
            offset,
          }),
        ),
    );
  }
}

export function gatewayFor(
  cluster: KafkaCluster,
  topic: string,
  options: GatewayOptions = {},
): TestGateway {
  const { gw } = cluster.state.users;
  const records = new Map<StreamId, LogRecord[]>();
  for (let index = 0; index < (options.partitions ?? 4); index++) records.set(streamId(index), []);
  const upstream = {
    brokers: cluster.bootstrap(options.listener ?? 'sasl'),
    sasl: { mechanism: 'SCRAM-SHA-512', username: gw.name, password: gw.password } as const,
    gateway: freshName('gw'),
    incarnation: INCARNATION,
    journal: memoryKeyValue(),
    clock: systemClock,
    logger: silentLogger,
    attempts: new ConnectAttempts(systemClock, 10_000), // Its waits are short.
    ...options.upstream,
  };
  return new TestGateway(topic, upstream, records);
}

/** Makes the topic and grants the least rights, for a gateway of its own. */
export async function newGateway(
  cluster: KafkaCluster,
  options: GatewayOptions = {},
  configs: Readonly<Record<string, string>> = {},
): Promise<TestGateway> {
  const topic = freshName('telemetry');
  const gateway = gatewayFor(cluster, topic, options);
  await cluster.createTopic(topic, { partitions: options.partitions ?? 4, configs });
  await cluster.createTopic(POSITIONS, { partitions: 64 }).catch(() => {}); // There already.
  const { otherTopics = [] } = options;
  for (const name of otherTopics) {
    await cluster.createTopic(name, { partitions: 1 }).catch(() => {}); // There already.
  }
  if (options.grant !== false) await grantLeast(cluster, gateway, otherTopics, options.single);
  return gateway;
}

const POSITIONS = 'gatelog.positions';

export async function grantLeast(
  cluster: KafkaCluster,
  gateway: TestGateway,
  otherTopics: readonly string[] = [],
  single = false,
): Promise<void> {
  const id = `gatelog.${gateway.name}`;
  const rights = {
    transactionalId: id,
    group: id,
    positionsTopic: POSITIONS,
    single,
    topics: [gateway.topic, ...otherTopics],
  };
  await cluster.grant(cluster.state.users.gw.name, gatewayGrants(rights));
}

/**
 * What a reader of committed records gets with kcat. EndTxn is answered when the commit is decided,
 * a moment before its markers let readers see it: a short reading is tried again for a while.
 */
export async function committed(
  cluster: KafkaCluster,
  gateway: TestGateway,
): Promise<ConsumedRecord[]> {
  const wanted = gateway.identities().length;
  for (let attempt = 0; ; attempt++) {
    const found = await kcatConsume(cluster, gateway.topic);
    if (found.length >= wanted || attempt === 50) return found;
    await systemClock.sleep(200);
  }
}

/** Every record exactly once, in offset order per source partition and central partition. */
export function expectExactlyOnce(found: readonly ConsumedRecord[], gateway: TestGateway): void {
  const seen = found.map(({ headers }) => headers.at(-1)?.[1] ?? '');
  expect(seen.toSorted()).toEqual(gateway.identities().toSorted());
  const last = new Map<string, number>();
  for (const { partition, key, headers } of found) {
    const parts = (headers.at(-1)?.[1] ?? '').split('/');
    const place = `${partition}/${parts[3] ?? ''}/${key ?? ''}`;
    const offset = Number(parts[4]);
    expect(offset).toBeGreaterThan(last.get(place) ?? -1);
    last.set(place, offset);
  }
}

export function pem(file: string): string {
  return readFileSync(file, 'utf8');
}

export function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'no failure',
    (error: unknown) => error,
  );
}
