import path from 'node:path';
import { type ClientLimits, DEFAULT_CLIENT_LIMITS } from '../client-limits.ts';
import { type Random, systemRandom } from '../random.ts';
import type { AdmissionOptions } from './broker-admission.ts';
import type { KeptKeysPlace } from './token-key.ts';
import { DEFAULT_CAPS } from './broker-session-caps.ts';
import type { SessionStoreOptions } from './broker-session-store.ts';
import type { DedupConfig, MqttConfig, SessionCaps } from './config-types.ts';
import type { DeviceNumbers } from './device-numbers.ts';
import type { IngestGate } from './ingest.ts';
import { MemorySpace } from './no-store.ts';

export interface BrokerOptions extends Omit<AdmissionOptions, 'isClockSound'> {
  readonly gate: IngestGate;
  /** Who may come with a client id that another user has; default same-user. */
  readonly takeOver?: MqttConfig['takeOver'];
  /** Connects and disconnects are told at info; default true. */
  readonly logConnections?: boolean;
  readonly maxPacketBytes: number;
  /** The longest keep-alive of MQTT 5 devices in seconds; undefined: as they like. */
  readonly maxKeepAliveSeconds?: number | undefined;
  /** Default LIMITS.mqttConnections. */
  readonly maxConnections?: number;
  /** Default: no bound but that of all together. */
  readonly maxConnectionsPerAddress?: number | undefined;
  /** Default: the same, of one user. */
  readonly maxConnectionsPerUser?: number | undefined;
  readonly limits?: ClientLimits;
  /** Where sessions are kept. Absent: in memory, and they end with the process. */
  readonly keep?: SessionKeeping;
  readonly sessionCaps?: SessionCaps;
  /** There is no store for now: who wants a session that lasts is refused. */
  readonly isStandIn?: boolean;
  /** How often `$SYS` is told; undefined: there is none. */
  readonly sysIntervalMs?: number | undefined;
  /** As `$SYS` tells it. */
  readonly version?: string;
  /** Where devices put numbers of their own; undefined: nowhere. */
  readonly dedup?: DedupConfig | undefined;
}

export interface SessionKeeping {
  readonly space: SessionStoreOptions['space'];
  readonly reader: SessionStoreOptions['reader'];
  readonly random: Random;
  readonly isClockSound: () => boolean;
  /** Default SESSION_LIMITS.willGraceMs. */
  readonly willGraceMs?: number;
}

/** A file of its own: it can be read where the store can't be opened. */
export function keptKeysIn(dataFolder: string): KeptKeysPlace {
  return { file: path.join(dataFolder, 'token-keys.json'), isReadOnly: false };
}

/** One object for all who ask it, which is changed where other limits come to count. */
export function limitsOf({ limits }: BrokerOptions): ClientLimits {
  return { ...(limits ?? DEFAULT_CLIENT_LIMITS) };
}

/** Loaded where it is asked for: most do not. */
export async function numbersOf(options: BrokerOptions): Promise<DeviceNumbers | undefined> {
  const { dedup, gate } = options;
  if (dedup === undefined) return undefined;
  const { DeviceNumbers: Numbers } = await import('./device-numbers.ts');
  return new Numbers(dedup, gate.producers, options);
}

export function storeOptions(options: BrokerOptions): SessionStoreOptions {
  const { keep, sessionCaps, clock, logger } = options;
  return {
    space: keep?.space ?? new MemorySpace(),
    reader: keep?.reader,
    caps: sessionCaps ?? DEFAULT_CAPS,
    random: keep?.random ?? systemRandom,
    clock,
    logger,
  };
}
