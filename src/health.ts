import { HEALTH_LIMITS } from './health-limits.ts';
import { parseIsoTime } from './time.ts';

/** The topic in which a gateway tells how it and its host are. */
export const METRICS = '_metrics';

export const HEALTH_SCHEMA = 1;

/**
 * A record of `_metrics`: its value as JSON; its key is the gateway's id. Field names are API: one that is
 * added leaves `schema` as it is, one that changes its meaning raises it. Sizes are bytes, durations ms,
 * shares from 0 to 1, times ISO 8601 in UTC. null: it is not known here, or there is none.
 */
export interface HealthJson {
  readonly schema: number;
  readonly gateway: string;
  readonly incarnation: string;
  /** Best known time. */
  readonly time: string;
  readonly version: string;
  /** How soon the next one is to follow. */
  readonly intervalMs: number;
  readonly agent: AgentHealth;
  readonly host: HostHealth;
  readonly clock: ClockHealth | null;
  readonly disk: DiskHealth | null;
  readonly wear: WearHealth | null;
  readonly devices: DeviceHealth | null;
  /** The first HEALTH_LIMITS.mirrors of `mirrorsTotal`. */
  readonly mirrors: readonly MirrorHealth[];
  readonly mirrorsTotal: number;
  /** Records that will never be delivered, by reason, since the data folder was made; without zeros. */
  readonly losses: Readonly<Record<string, number>>;
}

export interface AgentHealth {
  readonly uptimeMs: number;
  /** Of one core, since the record before; null in the first one. So are all rates. */
  readonly cpuShare: number | null;
  readonly rssBytes: number;
  readonly warnings: number;
  readonly errors: number;
  /** Why nothing is stored at present. */
  readonly trouble: string | null;
  readonly needsRestart: boolean;
}

export interface HostHealth {
  readonly uptimeMs: number;
  readonly cores: number;
  /** Of all cores. */
  readonly cpuShare: number | null;
  /** Of 1, 5 and 15 minutes. */
  readonly load: readonly [number, number, number];
  readonly memoryBytes: number;
  readonly memoryAvailableBytes: number | null;
  /** Of the hottest zone, in degrees Celsius. */
  readonly temperatureC: number | null;
  readonly interfaces: readonly InterfaceHealth[];
}

export interface InterfaceHealth {
  readonly name: string;
  /** The kernel's word: `up`, `down`, `dormant`, `unknown`. */
  readonly state: string;
}

export interface ClockHealth {
  readonly state: string;
  readonly aheadMs: number;
}

export interface DiskHealth {
  /** Of the ladder: ok, warn, drop-mirrored, drop-unmirrored, refuse. */
  readonly step: string;
  readonly freeBytes: number | null;
  readonly totalBytes: number | null;
  readonly roomBytes: number | null;
  readonly logBytes: number;
}

export interface WearHealth {
  readonly bytesPerDay: number | null;
  readonly ratingYears: number | null;
  readonly budgetLevel: number | null;
}

export interface DeviceHealth {
  readonly connections: number;
  readonly sessions: number;
  readonly messagesPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  readonly loginsRefused: number;
  readonly failed: number;
  readonly dropped: number;
}

export interface MirrorHealth {
  readonly name: string;
  readonly state: string;
  readonly forMs: number;
  readonly lagRecords: number;
  readonly lagMs: number | null;
  readonly recordsPerSecond: number | null;
  readonly rejected: number;
  readonly missing: number;
  readonly reason: string | null;
}

/** A record read back. undefined: it is none, or of a schema that is not known here. */
export function parseHealth(value: Uint8Array | null): HealthJson | undefined {
  if (value === null || value.length > HEALTH_LIMITS.recordBytes) return undefined;
  try {
    const health = JSON.parse(Buffer.from(value).toString('utf8')) as HealthJson;
    return isHealth(health) ? health : undefined;
  } catch {
    return undefined;
  }
}

/** As far as a table of them relies on it: what one gateway writes must not hide the others. */
function isHealth(health: HealthJson): boolean {
  const { schema, gateway, time, version, intervalMs, mirrors, losses } = health;
  return (
    schema === HEALTH_SCHEMA &&
    [gateway, time, version].every(isText) &&
    parseIsoTime(time) !== undefined &&
    Number.isFinite(intervalMs) &&
    isAgent(health.agent) &&
    isHost(health.host) &&
    mirrors.every(isMirror) &&
    Object.values(losses).every(Number.isFinite) &&
    isSurrounding(health)
  );
}

function isAgent({ uptimeMs, trouble }: AgentHealth): boolean {
  return Number.isFinite(uptimeMs) && isTextOrNull(trouble);
}

function isHost({ cores, load, interfaces, ...host }: HostHealth): boolean {
  const { cpuShare, temperatureC, memoryBytes, memoryAvailableBytes } = host;
  return (
    [cores, memoryBytes, ...load].every(Number.isFinite) &&
    [cpuShare, temperatureC, memoryAvailableBytes].every(isNumberOrNull) &&
    interfaces.every(({ name, state }) => isText(name) && isText(state))
  );
}

function isMirror({ name, state, lagRecords, lagMs, reason }: MirrorHealth): boolean {
  return (
    isText(name) &&
    isText(state) &&
    Number.isFinite(lagRecords) &&
    isNumberOrNull(lagMs) &&
    isTextOrNull(reason)
  );
}

function isSurrounding({ disk, clock, wear, devices }: HealthJson): boolean {
  return (
    (disk === null || (isText(disk.step) && isNumberOrNull(disk.freeBytes))) &&
    (clock === null || isText(clock.state)) &&
    (wear === null || isNumberOrNull(wear.ratingYears)) &&
    (devices === null ||
      (Number.isFinite(devices.connections) && isNumberOrNull(devices.messagesPerSecond)))
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isTextOrNull(value: unknown): boolean {
  return value === null || isText(value);
}

function isNumberOrNull(value: unknown): boolean {
  return value === null || Number.isFinite(value);
}
