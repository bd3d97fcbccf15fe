import mqtt from 'mqtt';
import { GatelogError, messageOf } from '../../errors.ts';

/** One life of a connection that publishes at QoS 1; a lost one is never used again. */
export interface MqttPublisher {
  /** Resolves with the PUBACK; rejects when it is refused or the connection is lost before it. */
  publish(topic: string, payload: Uint8Array): Promise<void>;
  /** Resolves when the connection is gone, for whatever reason. */
  readonly closed: Promise<void>;
  /** Ends the connection at once; what has no PUBACK is rejected. Never rejects itself. */
  close(): Promise<void>;
}

export interface MqttPublisherOptions {
  readonly url: string;
  readonly clientId: string;
  readonly connectTimeoutMs: number;
  readonly keepAliveSeconds: number;
}

/**
 * Connects over MQTT 5 with a clean session. Throws UPSTREAM_UNREACHABLE. It does not reconnect,
 * and keeps nothing to send again: that is its user's business.
 */
export async function connectPublisher(
  options: MqttPublisherOptions,
  signal: AbortSignal,
): Promise<MqttPublisher> {
  const { url, clientId, connectTimeoutMs, keepAliveSeconds } = options;
  const client = mqtt.connect(url, {
    clientId,
    protocolVersion: 5,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: connectTimeoutMs,
    keepalive: keepAliveSeconds,
  });
  const closed = new Promise<void>((resolve) => {
    client.once('close', resolve);
  });
  const close = async (): Promise<void> => {
    await client.endAsync(true);
  };
  const end = (): void => void close();
  signal.addEventListener('abort', end, { once: true });
  try {
    if (signal.aborted) end();
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.once('error', reject);
      client.once('close', () => reject(new Error('the connection was closed')));
    });
  } catch (error) {
    await close();
    throw new GatelogError('UPSTREAM_UNREACHABLE', `no MQTT at ${url}: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    signal.removeEventListener('abort', end);
  }
  // After the connect every error ends in `close`, which is what the user watches.
  client.on('error', () => {});
  return {
    closed,
    close,
    publish: async (topic, payload) => {
      await client.publishAsync(topic, Buffer.from(payload), { qos: 1 });
    },
  };
}
