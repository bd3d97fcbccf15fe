import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';
import { GatelogError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { Logger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import type {
  Batching,
  Disposition,
  MirrorStream,
  Upstream,
  UpstreamSession,
} from '../upstream.ts';
import { Blame } from './blame.ts';
import { connectError, dispositionOf } from './reasons.ts';
import { MqttSession } from './session.ts';

/** PEM texts. */
export interface MqttTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: string | undefined;
  readonly serverName?: string | undefined;
}

export interface MqttUpstreamOptions {
  readonly gateway: string;
  readonly incarnation: string;
  /** `mqtt://HOST:PORT` or `mqtts://HOST:PORT`. */
  readonly url: string;
  /**
   * MUST be this mirror's alone at the far side. Default `gatelog-GATEWAY`: two mirrors of one
   * gateway to one broker need their own.
   */
  readonly clientId?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: MqttTls | undefined;
  /** `3.1.1` has no properties: no identity, no headers, no reason for a refusal. Default 5. */
  readonly protocol?: '5' | '3.1.1' | undefined;
  /** Put before the MQTT topic, with a slash between; empty for none. */
  readonly prefix?: string | undefined;
  /** See PublicationRules. Default `{mqttTopic}`. */
  readonly topicTemplate?: string | undefined;
  /** `keep` (default) the recorded retain flag, or `never` retain. */
  readonly retain?: 'keep' | 'never' | undefined;
  readonly connectTimeoutMs?: number | undefined;
  /** Without any acknowledgement for this long while some are due, the session is given up. */
  readonly ackTimeoutMs?: number | undefined;
  readonly keepaliveSeconds?: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Small enough that a receipt, and with it the position, follows soon on a slow link. */
const BATCHING: Batching = {
  maxRecords: LIMITS.mqttBatchRecords,
  maxBytes: LIMITS.mqttBatchBytes,
  maxWaitMs: 0,
};

/**
 * Publishes records to an MQTT broker with QoS 1. At least once towards any broker: positions are
 * ours, and what was not acknowledged is sent again. Every MQTT 5 packet carries the record's
 * identity, by which a gatelog central drops the repeats, so that it is exactly once there.
 */
export function createMqttUpstream(options: MqttUpstreamOptions): Upstream {
  const blame = new Blame();
  return {
    batching: BATCHING,
    connect: (streams, signal) => openSession(options, blame, streams, signal),
    dispositionOf: (error): Disposition => dispositionOf(error),
  };
}

async function openSession(
  options: MqttUpstreamOptions,
  blame: Blame,
  streams: readonly MirrorStream[],
  signal: AbortSignal,
): Promise<UpstreamSession> {
  const where = options.url;
  const client = connect(clientOptions(options));
  let connack: IConnackPacket;
  try {
    connack = await connected(client, signal);
  } catch (error) {
    client.end(true);
    throw connectError(where, error);
  }
  const { receiveMaximum, maximumQoS, maximumPacketSize, retainAvailable } =
    connack.properties ?? {};
  if (maximumQoS === 0) {
    client.end(true);
    throw new GatelogError(
      'UPSTREAM_UNSUPPORTED',
      `${where}: the far side takes QoS 0 only, which confirms nothing; a mirror needs QoS 1`,
    );
  }
  const { gateway, incarnation, clock, ackTimeoutMs = LIMITS.mqttAckMs } = options;
  const prefix = options.prefix === undefined || options.prefix === '' ? '' : `${options.prefix}/`;
  return new MqttSession({
    client,
    where,
    streams,
    gateway,
    incarnation,
    rules: {
      topicTemplate: prefix + (options.topicTemplate ?? '{mqttTopic}'),
      gateway,
      keepRetain: options.retain !== 'never' && retainAvailable !== false,
      withProperties: options.protocol !== '3.1.1',
      maxPacketBytes: maximumPacketSize,
    },
    window: Math.min(receiveMaximum ?? LIMITS.mqttWindow, LIMITS.mqttWindow),
    ackMs: ackTimeoutMs,
    blame,
    clock,
  });
}

function connected(client: MqttClient, signal: AbortSignal): Promise<IConnackPacket> {
  return new Promise((resolve, reject) => {
    const settle = (settled: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      client.off('connect', onConnect);
      client.off('close', onClose);
      settled();
    };
    const onConnect = (packet: IConnackPacket): void => settle(() => resolve(packet));
    const onClose = (): void => settle(() => reject(new Error('the connection was closed')));
    const onAbort = (): void => settle(() => reject(new Error('the connect was given up')));
    client.on('connect', onConnect);
    client.on('close', onClose);
    // Stays: an error of a client that nobody listens to would end the process.
    client.on('error', (error) => settle(() => reject(error)));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

function clientOptions(options: MqttUpstreamOptions): IClientOptions {
  const url = new URL(options.url);
  const secure = url.protocol === 'mqtts:';
  const { username, password, tls } = options;
  const { connectTimeoutMs = LIMITS.mqttConnectMs } = options;
  return {
    protocol: secure ? 'mqtts' : 'mqtt',
    host: url.hostname.replace(/^\[(.*)\]$/u, '$1'),
    port: url.port === '' ? (secure ? 8883 : 1883) : Number(url.port),
    protocolVersion: options.protocol === '3.1.1' ? 4 : 5,
    clientId: options.clientId ?? `gatelog-${options.gateway}`,
    clean: true,
    // The pump connects anew, from the position; the library must not resend on its own.
    reconnectPeriod: 0,
    resubscribe: false,
    connectTimeout: connectTimeoutMs,
    keepalive: options.keepaliveSeconds ?? LIMITS.mqttKeepaliveSeconds,
    rejectUnauthorized: true,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    // Handed on to tls.connect, though the library's type does not name it.
    ...(tls?.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}
