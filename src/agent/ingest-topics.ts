import { LIMITS } from '../limits.ts';
import { partitionOfKey } from '../murmur2.ts';
import type { Durability, StreamId } from '../record.ts';
import type { TopicInfo } from '../store/log.ts';
import type { Qos } from './publication.ts';
import { encodeBaseHeaders } from './record-headers.ts';
import type { CompiledRoute, RouteTable } from './route.ts';

/** Where a record goes and under which key. */
export interface Destination {
  readonly key: Uint8Array;
  readonly stream: StreamId;
}

/**
 * What is the same for every message of one MQTT topic, worked out once: route, key, stream,
 * encoded base headers. The hot path does one Map lookup and makes nothing.
 */
export class TopicEntry {
  readonly mqttTopic: string;
  /** `$SYS/` is the broker's own: nobody may publish there. */
  readonly reserved: boolean;
  /** undefined: no route matches, the message is delivered live only. */
  readonly route: CompiledRoute | undefined;
  readonly #info: TopicInfo | undefined;
  /** undefined when the key depends on the publisher. */
  readonly #fixed: Destination | undefined;
  readonly #base: (Uint8Array | undefined)[] = [];
  /** The subscriptions' generation at which nobody was subscribed; see broker-subscriptions.ts. */
  quietAt = -1;
  /** Who was last asked whether it may publish here, and the answer. */
  judgedFor: object | undefined;
  judged = false;

  constructor(mqttTopic: string, route: CompiledRoute | undefined, info: TopicInfo | undefined) {
    this.mqttTopic = mqttTopic;
    this.reserved = mqttTopic.startsWith('$SYS/');
    this.route = route;
    this.#info = info;
    this.#fixed =
      route === undefined || info === undefined || route.key.usesClient
        ? undefined
        : destination(info, route.key.render(mqttTopic, ''));
  }

  /** The topic of the log; only for an entry with a route. */
  get logTopic(): string {
    return this.#info?.name ?? '';
  }

  get durability(): Durability {
    return this.#info?.options.durability ?? 'fsync';
  }

  /** Only for an entry with a route. */
  destination(client: string): Destination | undefined {
    if (this.#fixed !== undefined || this.route === undefined || this.#info === undefined) {
      return this.#fixed;
    }
    return destination(this.#info, this.route.key.render(this.mqttTopic, client));
  }

  baseHeaders(qos: Qos, retain: boolean): Uint8Array {
    const index = retain ? qos + 3 : qos;
    return (this.#base[index] ??= encodeBaseHeaders(this.mqttTopic, qos, retain));
  }
}

export function destination(info: TopicInfo, key: string): Destination {
  return destinationOfKey(info, Buffer.from(key, 'utf8'));
}

export function destinationOfKey(info: TopicInfo, key: Uint8Array): Destination {
  const partition = partitionOfKey(key, info.streams.length);
  return { key, stream: info.streams[partition] as StreamId };
}

/** Entries by MQTT topic, at most LIMITS.routeCacheTopics; the oldest are forgotten first. */
export class TopicCache {
  readonly #routes: RouteTable;
  readonly #infos: ReadonlyMap<string, TopicInfo>;
  readonly #entries = new Map<string, TopicEntry>();

  constructor(routes: RouteTable, infos: ReadonlyMap<string, TopicInfo>) {
    this.#routes = routes;
    this.#infos = infos;
  }

  known(mqttTopic: string): TopicEntry | undefined {
    return this.#entries.get(mqttTopic);
  }

  entry(mqttTopic: string): TopicEntry {
    return this.#entries.get(mqttTopic) ?? this.#add(mqttTopic);
  }

  get size(): number {
    return this.#entries.size;
  }

  #add(mqttTopic: string): TopicEntry {
    const route = mqttTopic.startsWith('$') ? undefined : this.#routes.match(mqttTopic);
    const info = route === undefined ? undefined : this.#infos.get(route.topic);
    const entry = new TopicEntry(mqttTopic, route, info);
    if (this.#entries.size >= LIMITS.routeCacheTopics) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(mqttTopic, entry);
    return entry;
  }
}
