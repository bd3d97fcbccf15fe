import { startBroker, type Broker } from '../../src/agent/broker.ts';
import type { SessionKeeping } from '../../src/agent/broker-options.ts';
import type {
  AclKind,
  AclRule,
  DedupConfig,
  JwtConfig,
  ListenConfig,
  SessionCaps,
} from '../../src/agent/config-types.ts';
import { type ClientLimits, DEFAULT_CLIENT_LIMITS } from '../../src/client-limits.ts';
import { IngestGate, type IngestOptions } from '../../src/agent/ingest.ts';
import { MemorySpace } from '../../src/agent/no-store.ts';
import { LIMITS } from '../../src/limits.ts';
import { systemRandom } from '../../src/random.ts';
import type { TopicOptions } from '../../src/store/log.ts';
import { type Logger, silentLogger } from '../../src/telemetry.ts';
import { type Clock, systemClock } from '../../src/time.ts';
import { listenAt } from './listen.ts';
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
  readonly usersFile?: string;
  readonly acl?: readonly AclRule[] | undefined;
  readonly aclKind?: AclKind;
  readonly aclFile?: string;
  readonly takeOver?: 'same-user' | 'anyone';
  readonly ownTopics?: readonly string[];
  readonly roles?: ReadonlyMap<string, readonly string[]>;
  readonly maxPacketBytes?: number;
  readonly maxKeepAliveSeconds?: number;
  readonly maxConnections?: number;
  readonly maxConnectionsPerAddress?: number;
  readonly maxConnectionsPerUser?: number;
  readonly limits?: Partial<ClientLimits>;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly jwt?: JwtConfig | undefined;
  readonly keptKeysFile?: string;
  /** Where sessions are kept; in memory by default. */
  readonly keep?: Partial<SessionKeeping>;
  readonly sessionCaps?: SessionCaps;
  readonly dedup?: DedupConfig;
  readonly sysIntervalMs?: number;
  /** The log of a life before. */
  readonly writer?: MemoryWriter;
  /** Any free one by default. */
  readonly port?: number;
  /** Instead of `port`. */
  readonly listen?: readonly ListenConfig[];
}

const started = new Map<Broker, MemoryWriter>();

/** A real broker on a free port of loopback, over a log in memory. */
export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const writer = options.writer ?? new MemoryWriter();
  const gate = new IngestGate(ingestOptions(writer, options.ingest));
  const { keep, sessionCaps } = options;
  const broker = await startBroker({
    ...(sessionCaps === undefined ? {} : { sessionCaps }),
    ...(keep === undefined ? {} : { keep: { ...inMemory(), ...keep } }),
    gate,
    dedup: options.dedup,
    sysIntervalMs: options.sysIntervalMs,
    version: '1.2.3',
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    listen: options.listen ?? [listenAt(`mqtt://127.0.0.1:${options.port ?? 0}`)],
    users: options.users ?? [],
    usersFile: options.usersFile,
    jwt: options.jwt,
    keptKeys:
      options.keptKeysFile === undefined
        ? undefined
        : { file: options.keptKeysFile, isReadOnly: false },
    aclFile: options.aclFile,
    ...(options.takeOver === undefined ? {} : { takeOver: options.takeOver }),
    acl: options.acl,
    ...(options.roles === undefined ? {} : { roles: options.roles }),
    ...(options.aclKind === undefined ? {} : { aclKind: options.aclKind }),
    ownTopics: options.ownTopics ?? [],
    maxPacketBytes: options.maxPacketBytes ?? LIMITS.mqttPacketBytes,
    ...(options.maxConnections === undefined ? {} : { maxConnections: options.maxConnections }),
    maxConnectionsPerAddress: options.maxConnectionsPerAddress,
    maxKeepAliveSeconds: options.maxKeepAliveSeconds,
    maxConnectionsPerUser: options.maxConnectionsPerUser,
    limits: { ...DEFAULT_CLIENT_LIMITS, ...options.limits },
  });
  started.set(broker, writer);
  const url = broker.addresses()[0] ?? '';
  return { broker, gate, writer, url, port: Number(new URL(url).port) };
}

function inMemory(): SessionKeeping {
  const isClockSound = (): boolean => true;
  return { space: new MemorySpace(), reader: undefined, random: systemRandom, isClockSound };
}

/** For afterEach. */
export async function stopTestBrokers(): Promise<void> {
  const stopped = [...started].map(([broker, writer]) => {
    writer.resume();
    return broker.stop();
  });
  await Promise.all(stopped);
  started.clear();
}
