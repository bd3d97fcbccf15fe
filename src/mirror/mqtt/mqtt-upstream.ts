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
import { clientIdOf } from './client-id.ts';
import { dial, type Dialled, type MqttConnection } from './dial.ts';
import type { Handshakes } from './handshakes.ts';
import { followLarge } from './large-records.ts';
import type { OwnRecords, Place } from './own-records.ts';
import type { PublicationRules } from './publication.ts';
import { dispositionOf } from './reasons.ts';
import { PacketIds, PacketStore } from './resumption.ts';
import { SendWindow } from './send-window.ts';
import { MqttSession } from './session.ts';

export interface MqttUpstreamOptions extends MqttConnection {
  readonly incarnation: string;
  /**
   * 1 (default): sent again when its answer is lost. 2: a record arrives once where the far side keeps
   * our session, for two round trips each and two small writes a batch. A far side that takes only 1 gets 1.
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
  /** This mirror's alone. */
  readonly handshakes: Handshakes;
  /** Other mirrors of this process with the same client id, at other addresses. */
  readonly sameId?: readonly string[] | undefined;
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
 * Publishes records to an MQTT broker with QoS 1 or 2. Positions are ours. With QoS 1 what was not
 * acknowledged is sent again; with QoS 2 handshakes go on where they stood, as long as the far side
 * keeps our session (handshakes.ts). Every MQTT 5 packet carries the record's identity, by which a
 * gatelog central drops repeats, so that it is exactly once there.
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
    tellsPace: true,
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
  const { gateway, incarnation, own, handshakes, url, qos } = options;
  const owner = { where: url, gateway, incarnation };
  const far = [gateway, incarnation, url, clientIdOf(options)].join(' ');
  const sought = new Set(seek.keys());
  await handshakes.begin(
    far,
    streams.map(({ stream }) => stream),
    sought,
  );
  handshakes.isDurable = qos === 2;
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

interface Connected extends Dialled {
  readonly ids: PacketIds;
  readonly store: PacketStore;
}

/** With the far side's session where there is something to go on with, else with a new one. */
async function connected(
  options: MqttUpstreamOptions,
  { attempts }: Memory,
  signal: AbortSignal,
): Promise<Connected> {
  const { handshakes, qos = 1, protocol = '5' } = options;
  const isKept = qos === 2;
  const begin = async (clean: boolean, keepSeconds: number): Promise<Connected> => {
    const parts = { ids: new PacketIds(), store: new PacketStore() };
    const dialled = await dial(options, attempts, signal, { clean, keepSeconds, ...parts });
    return { ...dialled, ...parts };
  };
  const isResumed = isKept && handshakes.isOpen;
  // What 3.1.1 calls a clean session ends with its connection, so an old one is ended by another one.
  if (isKept && !isResumed && protocol === '3.1.1') {
    const { client } = await begin(true, 0);
    await client.endAsync(true); // At once: a link that is dead by now would not let it go.
    return begin(false, MIRROR_LIMITS.mqttSessionSeconds);
  }
  const found = await begin(!isResumed, isKept ? MIRROR_LIMITS.mqttSessionSeconds : 0);
  if (!isResumed || found.connack.sessionPresent) return found;
  handshakes.forget();
  options.logger.info(
    { event: 'mirror.session-lost' },
    `${options.url} has not kept our session: what was under way is sent again`,
  );
  return found;
}

async function openClient(
  options: MqttUpstreamOptions,
  memory: Memory,
  places: readonly Place[],
  signal: AbortSignal,
): Promise<UpstreamSession> {
  const { client, connack, ids, store, tookMs } = await connected(options, memory, signal);
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
  const { gateway, incarnation, own, clock, logger, handshakes } = options;
  if (qos === 1) handshakes.forget();
  handshakes.isDurable = qos === 2;
  const { mqttWindowPackets311 } = MIRROR_LIMITS;
  const untold = options.protocol === '3.1.1' && qos === 2 ? mqttWindowPackets311 : Infinity;
  const packets = Math.min(receiveMaximum ?? untold, LIMITS.mqttWindow);
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
    rules: rulesOf(options, { qos, maximumPacketSize, retainAvailable }),
    qos,
    window,
    smallMs: (tookMs / 2) * qos, // A handshake of QoS 2 takes two round trips.
    ackMs: patience.begin(),
    keepaliveMs,
    sameId: options.sameId,
    blame: memory.blame,
    handshakes,
    ids,
    store,
    clock,
  });
}

interface FarSide {
  readonly qos: 1 | 2;
  readonly maximumPacketSize: number | undefined;
  readonly retainAvailable: boolean | undefined;
}

function rulesOf(
  { prefix = '', topicTemplate = '{mqttTopic}', ...options }: MqttUpstreamOptions,
  { qos, maximumPacketSize, retainAvailable }: FarSide,
): PublicationRules {
  return {
    topicTemplate: prefix === '' ? topicTemplate : `${prefix}/${topicTemplate}`,
    gateway: options.gateway,
    qos,
    keepRetain: options.retain !== 'never' && retainAvailable !== false,
    withProperties: options.protocol !== '3.1.1',
    nowMs: options.expiryNowMs,
    maxPacketBytes: maximumPacketSize,
  };
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
