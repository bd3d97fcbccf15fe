import { type Clock, type Timer, untilBeat } from '../time.ts';
import { covers } from './acl-filter.ts';
import type { LivePacket } from './broker-aedes.ts';
import { livePacket } from './broker-live.ts';
import type { KeptPacket } from './broker-session-codec.ts';

/** What `$SYS` tells, as counted now. */
export interface SystemFigures {
  readonly clientsConnected: number;
  readonly clientsDisconnected: number;
  readonly subscriptions: number;
  readonly sharedSubscriptions: number;
  readonly retained: number;
  /** Messages that are kept for sessions, and retained ones. */
  readonly stored: number;
  readonly storedBytes: number;
}

/** Of these it also tells how fast they grow; by the name that Mosquitto gives that. */
export interface SystemCounts {
  readonly 'bytes/received': number;
  readonly 'bytes/sent': number;
  /** CONNECT packets. */
  readonly connections: number;
  readonly sockets: number;
  readonly 'messages/received': number;
  readonly 'messages/sent': number;
  readonly 'publish/dropped': number;
  readonly 'publish/received': number;
  readonly 'publish/sent': number;
  readonly 'publish/bytes/received': number;
  readonly 'publish/bytes/sent': number;
}

export interface SystemTopicsOptions {
  readonly version: string;
  readonly intervalMs: number;
  readonly counts: () => SystemCounts;
  /** Costs a walk over sessions: only where somebody listens. */
  readonly figures: () => SystemFigures;
  /** Somebody has a filter that begins with `$SYS/`. */
  readonly isWanted: () => boolean;
  readonly publish: (packet: LivePacket) => void;
  readonly clock: Clock;
}

const ROOT = '$SYS/broker/';
const MINUTE_MS = 60_000;
const SPANS = [1, 5, 15] as const;

/** Mosquitto tells no load of payload bytes, nor how many connections there were. */
const WITHOUT_LOAD: ReadonlySet<string> = new Set(['publish/bytes/received', 'publish/bytes/sent']);
const LOADS_ALONE: ReadonlySet<string> = new Set(['connections', 'sockets']);

/**
 * The topics below `$SYS/broker/` under the names of Mosquitto's. They are retained to whoever subscribes, made
 * when they are asked for, and sent at every interval where they changed and somebody wants them. They are
 * never logged or kept: QoS 0, and a session that is away has none of them.
 */
export class SystemTopics {
  readonly #options: SystemTopicsOptions;
  readonly #startedMs: number;
  readonly #loads: Load[] = [];
  #before: SystemCounts;
  #lookedMs: number;
  #maximum = 0;
  #told = new Map<string, string>();
  #timer: Timer | undefined;

  constructor(options: SystemTopicsOptions) {
    this.#options = options;
    const { clock, counts } = options;
    this.#startedMs = clock.monotonicMs();
    this.#lookedMs = this.#startedMs;
    this.#before = counts();
    for (const name of namesOf(this.#before)) {
      if (!WITHOUT_LOAD.has(name)) this.#loads.push(new Load(name));
    }
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** So many are connected now. */
  connected(count: number): void {
    this.#maximum = Math.max(this.#maximum, count);
  }

  /** What a filter asks for, as retained messages. */
  matching(filter: string): KeptPacket[] {
    if (!filter.startsWith('$SYS/')) return [];
    const levels = filter.split('/');
    return [...this.#values()]
      .filter(([topic]) => covers(levels, topic.split('/')))
      .map(([topic, value]) => ({
        ...packetOf(topic, value),
        retain: true,
        brokerId: undefined,
        brokerCounter: 0,
      }));
  }

  #arm(): void {
    const { clock, intervalMs } = this.#options;
    this.#timer = clock.after(untilBeat(clock, intervalMs), () => {
      this.#look();
      this.#arm();
    });
  }

  #look(): void {
    const { clock, counts, isWanted, publish } = this.#options;
    const nowMs = clock.monotonicMs();
    const now = counts();
    for (const load of this.#loads) {
      load.add(now[load.name] - this.#before[load.name], nowMs - this.#lookedMs);
    }
    [this.#before, this.#lookedMs] = [now, nowMs];
    if (!isWanted()) {
      this.#told.clear();
      return;
    }
    const values = this.#values();
    for (const [topic, value] of values) {
      if (this.#told.get(topic) !== value) publish(packetOf(topic, value));
    }
    this.#told = values;
  }

  #values(): Map<string, string> {
    const { version, clock, figures, counts } = this.#options;
    const given = figures();
    const now = counts();
    const seconds = Math.floor((clock.monotonicMs() - this.#startedMs) / 1000);
    const { clientsConnected, clientsDisconnected } = given;
    const plain: Record<string, number | string> = {
      version: `gatelog version ${version}`,
      uptime: `${seconds} seconds`,
      'clients/total': clientsConnected + clientsDisconnected,
      'clients/maximum': this.#maximum,
      'clients/connected': clientsConnected,
      'clients/active': clientsConnected,
      'clients/disconnected': clientsDisconnected,
      'clients/inactive': clientsDisconnected,
      'subscriptions/count': given.subscriptions,
      'shared_subscriptions/count': given.sharedSubscriptions,
      'retained messages/count': given.retained,
      'messages/stored': given.stored,
      'store/messages/count': given.stored,
      'store/messages/bytes': given.storedBytes,
    };
    for (const name of namesOf(now)) {
      if (LOADS_ALONE.has(name)) continue;
      plain[name.replace(/^publish\/(?!bytes)/u, 'publish/messages/')] = now[name];
    }
    for (const load of this.#loads) {
      for (const [at, span] of SPANS.entries()) {
        plain[`load/${load.name}/${span}min`] = (load.perMinute[at] ?? 0).toFixed(2);
      }
    }
    return new Map(Object.entries(plain).map(([name, value]) => [ROOT + name, String(value)]));
  }
}

/** A moving average over 1, 5 and 15 minutes, as a kernel's load. */
class Load {
  readonly name: keyof SystemCounts;
  readonly perMinute: number[] = SPANS.map(() => 0);

  constructor(name: keyof SystemCounts) {
    this.name = name;
  }

  add(count: number, ms: number): void {
    if (ms <= 0) return;
    const rate = (count / ms) * MINUTE_MS;
    for (const [at, span] of SPANS.entries()) {
      const kept = Math.exp(-ms / (span * MINUTE_MS));
      this.perMinute[at] = (this.perMinute[at] ?? 0) * kept + rate * (1 - kept);
    }
  }
}

function namesOf(counts: SystemCounts): (keyof SystemCounts)[] {
  return Object.keys(counts) as (keyof SystemCounts)[];
}

function packetOf(topic: string, value: string): LivePacket {
  return livePacket(topic, Buffer.from(value), 0, false, undefined, undefined);
}
