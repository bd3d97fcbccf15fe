import { afterEach } from 'vitest';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { encodeHeaders } from '../../src/headers.ts';
import { ConnectAttempts } from '../../src/mirror/connect-attempts.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import type { MirrorOptions } from '../../src/mirror/mirror-options.ts';
import {
  createMqttUpstream,
  type MqttUpstreamOptions,
} from '../../src/mirror/mqtt/mqtt-upstream.ts';
import { OwnRecords } from '../../src/mirror/mqtt/own-records.ts';
import { systemRandom } from '../../src/random.ts';
import { streamId, type StreamId } from '../../src/record.ts';
import type { KeyValue, PositionStore } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { handshakesOf } from '../support/handshakes.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { type Mosquitto, type MosquittoOptions, startMosquitto } from '../support/mosquitto.ts';

/** A mirror on a log in memory, to a real broker; what is made here ends with each test. */
export const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
  cleanups.length = 0;
});

export async function broker(options?: MosquittoOptions): Promise<Mosquitto> {
  const started = await startMosquitto(options);
  cleanups.push(() => started.stop());
  return started;
}

export interface Heard {
  readonly topic: string;
  readonly text: string;
  readonly retain: boolean;
  readonly id: string | undefined;
  readonly contentType: string | undefined;
}

/** Everything that passes the broker, straight from it. */
export async function listen(port: number, options: IClientOptions = {}): Promise<Heard[]> {
  const client: MqttClient = mqtt.connect({
    host: '127.0.0.1',
    port,
    protocolVersion: 5,
    ...options,
  });
  cleanups.push(() => client.endAsync(true));
  const heard: Heard[] = [];
  client.on('message', (topic, payload, packet) => {
    const user: Record<string, unknown> = { ...packet.properties?.userProperties };
    const id = user['gatelog.id'];
    heard.push({
      topic,
      text: payload.toString(),
      retain: packet.retain,
      id: typeof id === 'string' ? id : undefined,
      contentType: packet.properties?.contentType,
    });
  });
  await new Promise((resolve) => {
    client.once('connect', resolve);
  });
  await client.subscribeAsync({ '#': { qos: 1, rap: true } });
  return heard;
}

export interface Rig {
  readonly log: MemoryLog;
  readonly mirror: Mirror;
  readonly quarantine: StreamId;
}

/** One life of a process on a log. After its death nothing of it is stored any more. */
export class Life {
  readonly log: MemoryLog;
  readonly positions: PositionStore;
  readonly values: KeyValue;
  readonly #stored: PositionStore;
  #isDead = false;

  constructor(log: MemoryLog, stored: PositionStore = log.positions()) {
    this.log = log;
    this.#stored = stored;
    const { keyValue } = log;
    this.positions = {
      ...stored,
      advance: (...asked) => this.#whileAlive(() => stored.advance(...asked)),
      seek: (...asked) => this.#whileAlive(() => stored.seek(...asked)),
    };
    this.values = {
      get: (key) => keyValue.get(key),
      put: (...asked) => this.#whileAlive(() => keyValue.put(...asked)),
      delete: (key) => this.#whileAlive(() => keyValue.delete(key)),
    };
  }

  /** Gives the next one. */
  dies(): Life {
    this.#isDead = true;
    return new Life(this.log, this.#stored);
  }

  #whileAlive(write: () => Promise<void>): Promise<void> {
    return this.#isDead ? Promise.reject(new Error('the process is dead')) : write();
  }
}

export function mirrorTo(
  url: string,
  upstreamOptions: Partial<MqttUpstreamOptions> = {},
  mirrorOptions: Partial<MirrorOptions> = {},
  life: Life = new Life(new MemoryLog()),
): Rig {
  const { log, positions, values } = life;
  const topic = log.topic('_quarantine');
  const clock = systemClock;
  const own = new OwnRecords(values, log.reader);
  const handshakes = handshakesOf(values, log.reader, positions);
  const attempts = new ConnectAttempts(clock, 10_000); // Its waits are short.
  const base = {
    own,
    handshakes,
    attempts,
    url,
    gateway: 'gw',
    incarnation: 'abc',
    clock,
    logger: silentLogger,
  };
  const mirror = new Mirror({
    name: 'central',
    gateway: 'gw',
    incarnation: 'abc',
    reader: log.reader,
    positions,
    ledger: log.ledger,
    quarantine: { writer: log.writer, topic },
    decisions: values,
    sampled: log.sampled,
    upstream: createMqttUpstream({ ...base, ...upstreamOptions }),
    topics: ['*'],
    clock,
    random: systemRandom,
    logger: silentLogger,
    backoff: { firstMs: 20, maxMs: 200 },
    ...mirrorOptions,
  });
  cleanups.push(() => mirror.stop());
  return { log, mirror, quarantine: topic.streams[0] ?? streamId(-1) };
}

/** A record as ingest would have made it. */
export function add(
  log: MemoryLog,
  stream: StreamId,
  mqttTopic: string,
  text: string,
  more: string[] = [],
): void {
  const headers = [
    { key: 'mqtt.topic', value: Buffer.from(mqttTopic) },
    { key: 'mqtt.qos', value: Buffer.from('1') },
    { key: 'mqtt.retain', value: Buffer.from(more.includes('retain') ? '1' : '0') },
    ...(more.includes('json') ? [{ key: 'mqtt.content-type', value: Buffer.from('json') }] : []),
  ];
  const key = Buffer.from(mqttTopic);
  log.writer.append(
    stream,
    1000,
    key,
    Buffer.from(text),
    encodeHeaders(headers),
    'fsync',
    () => {},
  );
}

export function telemetry(log: MemoryLog): StreamId {
  return log.topic('telemetry').streams[0] ?? streamId(-1);
}

export const patience: { timeout: number; interval: number } = { timeout: 60_000, interval: 20 };
