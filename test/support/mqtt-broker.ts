import { startBroker, type Broker } from '../../src/agent/broker.ts';
import { IngestGate, type IngestOptions } from '../../src/agent/ingest.ts';
import { LIMITS } from '../../src/limits.ts';
import type { TopicOptions } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { MemoryWriter } from './memory-writer.ts';

export const TELEMETRY: TopicOptions = {
  partitions: 8,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};

export function ingestOptions(
  writer: MemoryWriter,
  changes: Partial<IngestOptions> = {},
): IngestOptions {
  return {
    writer,
    ledger: { record: async () => {} },
    clock: systemClock,
    logger: silentLogger,
    routes: [{ match: '#', topic: 'telemetry', key: '{topic}' }],
    topics: { telemetry: TELEMETRY },
    defaultTopic: TELEMETRY,
    central: false,
    ...changes,
  };
}

export interface TestBroker {
  readonly broker: Broker;
  readonly gate: IngestGate;
  readonly writer: MemoryWriter;
  readonly port: number;
  readonly url: string;
}

export interface TestBrokerOptions {
  readonly ingest?: Partial<IngestOptions>;
  readonly users?: readonly { username: string; password: string }[];
  readonly maxPacketBytes?: number;
  readonly maxConnections?: number;
  /** Any free one by default. */
  readonly port?: number;
}

const started = new Map<Broker, MemoryWriter>();

/** A real broker on a free port of loopback, over a log in memory. */
export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const writer = new MemoryWriter();
  const gate = new IngestGate(ingestOptions(writer, options.ingest));
  const broker = await startBroker({
    gate,
    clock: systemClock,
    logger: silentLogger,
    listen: [`mqtt://127.0.0.1:${options.port ?? 0}`],
    users: options.users ?? [],
    maxPacketBytes: options.maxPacketBytes ?? LIMITS.mqttPacketBytes,
    ...(options.maxConnections === undefined ? {} : { maxConnections: options.maxConnections }),
  });
  started.set(broker, writer);
  const url = broker.addresses()[0] ?? '';
  return { broker, gate, writer, url, port: Number(new URL(url).port) };
}

/** For afterEach. */
export async function stopTestBrokers(): Promise<void> {
  for (const [broker, writer] of started) {
    writer.resume();
    await broker.stop();
  }
  started.clear();
}
