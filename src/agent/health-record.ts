import type { AgentStatus } from '../admin/status.ts';
import { HEALTH_LIMITS } from '../health-limits.ts';
import {
  HEALTH_SCHEMA,
  type DeviceHealth,
  type DiskHealth,
  type HealthJson,
  type HostHealth,
  type MirrorHealth,
  type WearHealth,
} from '../health.ts';
import { isoTime } from '../time.ts';
import type { HostFigures } from './host-figures.ts';

/** All that a record is made of, at one moment. */
export interface HealthLook {
  /** By the monotonic clock. */
  readonly atMs: number;
  readonly nowMs: number;
  readonly status: AgentStatus;
  readonly host: HostFigures;
  /** Of this process since its start. */
  readonly cpuMs: number;
  readonly logged: { readonly warn: number; readonly error: number };
}

/** `before`: the look of the last record; without one there are no rates. */
export function healthOf(
  look: HealthLook,
  before: HealthLook | undefined,
  intervalMs: number,
): HealthJson {
  const { status, nowMs } = look;
  const rates = new Rates(look, before);
  return {
    schema: HEALTH_SCHEMA,
    gateway: status.gateway,
    incarnation: status.incarnation,
    time: status.clock?.time ?? isoTime(nowMs),
    version: status.version,
    intervalMs,
    agent: {
      uptimeMs: status.uptimeMs,
      cpuShare: rates.share(({ cpuMs }) => cpuMs),
      rssBytes: status.memory.rssBytes,
      warnings: look.logged.warn,
      errors: look.logged.error,
      trouble: short(status.degraded ?? status.store?.trouble ?? null),
      needsRestart: (status.reload?.needsRestart.length ?? 0) > 0,
    },
    host: hostHealth(look, before),
    clock:
      status.clock === null
        ? null
        : { state: status.clock.state, aheadMs: Math.round(status.clock.aheadMs) },
    disk: diskHealth(status),
    wear: wearHealth(status),
    devices: deviceHealth(status, rates),
    mirrors: mirrorsHealth(status, rates),
    mirrorsTotal: status.mirrors.length,
    losses: Object.fromEntries(
      Object.entries(status.store?.losses ?? {})
        .map(([reason, { records }]) => [reason, records] as const)
        .filter(([, records]) => records > 0),
    ),
  };
}

/** How fast counts grew between two looks; one that went back began anew. */
class Rates {
  readonly #look: HealthLook;
  readonly #before: HealthLook | undefined;

  constructor(look: HealthLook, before: HealthLook | undefined) {
    this.#look = look;
    this.#before = before;
  }

  perSecond(count: (look: HealthLook) => number | undefined): number | null {
    const grown = this.#grown(count);
    return grown === null ? null : rounded(grown.by / (grown.ms / 1000));
  }

  share(count: (look: HealthLook) => number | undefined): number | null {
    const grown = this.#grown(count);
    return grown === null ? null : rounded(grown.by / grown.ms);
  }

  #grown(
    count: (look: HealthLook) => number | undefined,
  ): { readonly by: number; readonly ms: number } | null {
    if (this.#before === undefined) return null;
    const ms = this.#look.atMs - this.#before.atMs;
    const [now, then] = [count(this.#look), count(this.#before)];
    if (ms <= 0 || now === undefined || then === undefined) return null;
    return { by: now >= then ? now - then : now, ms };
  }
}

function hostHealth({ host }: HealthLook, before: HealthLook | undefined): HostHealth {
  const { cpuBusyMs, cpuTotalMs, ...plain } = host;
  const totalMs = before === undefined ? 0 : cpuTotalMs - before.host.cpuTotalMs;
  const busyMs = before === undefined ? 0 : cpuBusyMs - before.host.cpuBusyMs;
  const cpuShare = totalMs > 0 ? rounded(Math.min(1, Math.max(0, busyMs / totalMs))) : null;
  return { ...plain, load: plain.load, cpuShare };
}

function diskHealth({ store }: AgentStatus): DiskHealth | null {
  if (store === null) return null;
  const { step, freeBytes, totalBytes, roomBytes } = store.disk;
  return { step, freeBytes, totalBytes, roomBytes, logBytes: store.diskBytes };
}

function wearHealth({ wear }: AgentStatus): WearHealth | null {
  if (wear === null) return null;
  const { diskBytesPerDay, processBytesPerDay, ratingYears, budgetLevel } = wear;
  return { bytesPerDay: diskBytesPerDay ?? processBytesPerDay, ratingYears, budgetLevel };
}

function deviceHealth({ ingest }: AgentStatus, rates: Rates): DeviceHealth | null {
  if (ingest === null) return null;
  const { connections, sessions, loginsRefused, failed, dropped } = ingest;
  return {
    connections,
    sessions,
    messagesPerSecond: rates.perSecond(({ status }) => status.ingest?.received),
    bytesPerSecond: rates.perSecond(({ status }) => status.ingest?.receivedBytes),
    loginsRefused,
    failed,
    dropped,
  };
}

function mirrorsHealth({ mirrors }: AgentStatus, rates: Rates): MirrorHealth[] {
  return mirrors.slice(0, HEALTH_LIMITS.mirrors).map((mirror) => {
    const { name, state, forMs, lagRecords, lagMs, recordsRejected, recordsMissing } = mirror;
    const sent = ({ status }: HealthLook): number | undefined =>
      status.mirrors.find((each) => each.name === name)?.recordsSent;
    return {
      name,
      state,
      forMs: Math.round(forMs),
      lagRecords,
      lagMs: lagMs === undefined ? null : Math.round(lagMs),
      recordsPerSecond: rates.perSecond(sent),
      rejected: recordsRejected,
      missing: recordsMissing,
      reason: short(mirror.reason ?? null),
    };
  });
}

function short(text: string | null): string | null {
  return text === null ? null : text.slice(0, HEALTH_LIMITS.textChars);
}

/** Nobody reads more than three digits behind the point, and each is sent. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
