import type { IConnackPacket } from 'mqtt';
import { GatelogError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { Logger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import { ConnectAttempts } from '../connect-attempts.ts';
import { LargePatience } from '../large-patience.ts';
import type {
  Batching,
  ConnectOptions,
  Disposition,
  MirrorStream,
  Upstream,
  UpstreamSession,
} from '../upstream.ts';
import { Blame } from './blame.ts';
import { dial, type MqttConnection } from './dial.ts';
import { followLarge } from './large-records.ts';
import type { OwnRecords, Place } from './own-records.ts';
import { dispositionOf } from './reasons.ts';
import { SendWindow } from './send-window.ts';
import { MqttSession } from './session.ts';

export interface MqttUpstreamOptions extends MqttConnection {
  readonly incarnation: string;
  /**
   * 1 (default): sent again when its answer is lost. 2: a record arrives once over a connection that
   * lasts, for two round trips each. A far side that takes only 1 gets 1.
   */
  readonly qos?: 1 | 2 | undefined;
  /** Put before the MQTT topic, with a slash between; empty for none. */
  readonly prefix?: string | undefined;
  /** See PublicationRules. Default `{mqttTopic}`. */
  readonly topicTemplate?: string | undefined;
  /** `keep` (default) the recorded retain flag, or `never` retain. */
  readonly retain?: 'keep' | 'never' | undefined;
  /** Without any acknowledgement for this long while some are due, the session is given up. */
  readonly ackTimeoutMs?: number | undefined;
  /** The same one for every mirror of this process to the same far side. */
  readonly own: OwnRecords;
  /** Bounds attempts to connect. Default: as MIRROR_LIMITS says. */
  readonly attempts?: ConnectAttempts | undefined;
  /** Wall clock in ms, while it is to be believed. */
  readonly expiryNowMs?: (() => number | undefined) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What outlives a session. */
interface Memory {
  readonly blame: Blame;
  readonly attempts: ConnectAttempts;
  readonly patience: LargePatience;
  /** Bytes that the last session had without an answer. */
  windowBytes: number | undefined;
}

/** Small enough that a receipt, and with it the position, follows soon on a slow link. */
const BATCHING: Batching = {
  maxRecords: LIMITS.mqttBatchRecords,
  maxBytes: LIMITS.mqttBatchBytes,
  maxWaitMs: 0,
};

/**
 * Publishes records to an MQTT broker with QoS 1 or 2. At least once towards any broker: positions are
 * ours, and what was not acknowledged is sent again. Every MQTT 5 packet carries the record's
 * identity, by which a gatelog central drops the repeats, so that it is exactly once there.
 */
export function createMqttUpstream(options: MqttUpstreamOptions): Upstream {
  const memory: Memory = {
    blame: new Blame(),
    attempts: options.attempts ?? new ConnectAttempts(options.clock),
    patience: new LargePatience({
      configuredMs: options.ackTimeoutMs ?? LIMITS.mqttAckMs,
      mostMs: MIRROR_LIMITS.mqttAckMostMs,
    }),
    windowBytes: undefined,
  };
  return {
    batching: BATCHING,
    connect: (...asked) => openSession(options, memory, ...asked),
    dispositionOf: (error): Disposition => dispositionOf(error),
  };
}

async function openSession(
  options: MqttUpstreamOptions,
  memory: Memory,
  streams: readonly MirrorStream[],
  signal: AbortSignal,
  { seek }: ConnectOptions,
): Promise<UpstreamSession> {
  const { gateway, incarnation, own } = options;
  const owner = { where: options.url, gateway, incarnation };
  // 3.1.1 has no properties: nothing is known by its identity, and nothing is a repeat.
  const places = await (options.protocol === '3.1.1'
    ? own.unwatched(owner, streams)
    : own.begin(owner, streams, seek));
  try {
    return await openClient(options, memory, places, signal);
  } catch (error) {
    own.left(places);
    throw error;
  }
}

async function openClient(
  options: MqttUpstreamOptions,
  memory: Memory,
  places: readonly Place[],
  signal: AbortSignal,
): Promise<UpstreamSession> {
  const { client, connack } = await dial(options, memory.attempts, signal);
  const where = options.url;
  const { receiveMaximum, maximumPacketSize, retainAvailable } = connack.properties ?? {};
  const qos = qosOf(options, connack);
  if (qos === undefined) {
    client.end(true);
    throw new GatelogError(
      'UPSTREAM_UNSUPPORTED',
      `${where}: the far side takes QoS 0 only, which confirms nothing; a mirror needs QoS 1`,
    );
  }
  const { gateway, incarnation, own, clock, logger } = options;
  const prefix = options.prefix === undefined || options.prefix === '' ? '' : `${options.prefix}/`;
  const packets = Math.min(receiveMaximum ?? LIMITS.mqttWindow, LIMITS.mqttWindow);
  // The link may have changed meanwhile: half of what it took last is found again soon.
  const bytes = memory.windowBytes === undefined ? undefined : memory.windowBytes / 2;
  const window = new SendWindow({ packets, bytes });
  client.once('close', () => {
    memory.windowBytes = window.bytes;
  });
  const { patience } = memory;
  const keepaliveMs = (options.keepaliveSeconds ?? LIMITS.mqttKeepaliveSeconds) * 1000;
  followLarge({ client, where, window, patience, keepaliveMs, clock, logger });
  return new MqttSession({
    client,
    where,
    places,
    own,
    gateway,
    incarnation,
    rules: {
      topicTemplate: prefix + (options.topicTemplate ?? '{mqttTopic}'),
      gateway,
      qos,
      keepRetain: options.retain !== 'never' && retainAvailable !== false,
      withProperties: options.protocol !== '3.1.1',
      nowMs: options.expiryNowMs,
      maxPacketBytes: maximumPacketSize,
    },
    qos,
    window,
    ackMs: patience.begin(),
    keepaliveMs,
    blame: memory.blame,
    clock,
  });
}

/** undefined: the far side takes none that confirms anything. */
function qosOf(
  { qos = 1, url, logger }: MqttUpstreamOptions,
  connack: IConnackPacket,
): 1 | 2 | undefined {
  const maximum = connack.properties?.maximumQoS ?? 2;
  if (maximum === 0) return undefined;
  if (maximum >= qos) return qos;
  logger.warn({ event: 'mirror.qos', qos, maximum }, `${url} takes QoS 1 at most: sending with it`);
  return 1;
}
