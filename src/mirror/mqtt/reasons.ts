import { GatelogError, messageOf, systemCodeOf } from '../../errors.ts';
import { formatDuration } from '../../units.ts';
import { causesOf, connectTrouble, type ConnectFacts } from '../connect-trouble.ts';
import type { Disposition } from '../upstream.ts';

/** Reason codes (MQTT 5, section 2.4) whose meaning decides what we do. */
const REASON = {
  unsupportedVersion: 0x84,
  badCredentials: 0x86,
  notAuthorized: 0x87,
  banned: 0x8a,
  badAuthMethod: 0x8c,
  takenOver: 0x8e,
  topicNameInvalid: 0x90,
  packetIdNotFound: 0x92,
  packetTooLarge: 0x95,
  payloadFormatInvalid: 0x99,
} as const;

/** 3.1.1, section 3.2.2.3: the refusals of a CONNACK. */
const CONNACK_311 = { unsupportedVersion: 1, badCredentials: 4, notAuthorized: 5 } as const;

/** A refusal of one topic by the far side's access control. */
export class TopicRefused extends GatelogError {
  readonly topic: string;

  constructor(topic: string, message: string) {
    super('UPSTREAM_UNAUTHORIZED', message);
    this.topic = topic;
  }
}

export type AckVerdict = 'record' | 'topic' | 'session';

/**
 * Whom a PUBACK's reason code of 0x80 or more blames. A missing right is a person's to grant, and
 * holds for more than this record: the topic stops. Quotas and a server's own trouble pass.
 */
export function verdictOf(reasonCode: number): AckVerdict {
  switch (reasonCode) {
    case REASON.topicNameInvalid:
    case REASON.packetTooLarge:
    case REASON.payloadFormatInvalid:
      return 'record';
    case REASON.notAuthorized:
      return 'topic';
    default:
      return 'session';
  }
}

/** Does a DISCONNECT with this code blame one of the packets just sent? */
export function blamesPacket(reasonCode: number): boolean {
  return (
    verdictOf(reasonCode) === 'record' ||
    reasonCode === 0x81 || // Malformed Packet
    reasonCode === 0x82 // Protocol Error
  );
}

export function hex(reasonCode: number): string {
  return `0x${reasonCode.toString(16).padStart(2, '0')}`;
}

/** Why the far side will never take the record, or the error with which the session ends. */
export function refusalOf(where: string, topic: string, error: unknown): string | GatelogError {
  const reasonCode = reasonCodeOf(error);
  if (reasonCode === undefined) return closedError(where);
  const text = `${describe(error)} (${hex(reasonCode)})`;
  switch (verdictOf(reasonCode)) {
    case 'record':
      return `the far side refused it: ${text}`;
    case 'topic':
      return new TopicRefused(topic, `${where}: refused a record of ${topic}: ${text}`);
    case 'session':
      return new GatelogError('UPSTREAM_UNREACHABLE', `${where}: ${text}`);
  }
}

/** The error of a connection that was refused, never came about (`facts` says how far), or broke. */
export function connectError(where: string, error: unknown, facts?: ConnectFacts): GatelogError {
  const code = reasonCodeOf(error) ?? 0;
  const message = `${where}: ${KEEPALIVE.test(messageOf(error)) ? UNANSWERED : describe(error)}`;
  switch (code) {
    case REASON.badCredentials:
    case REASON.notAuthorized:
    case REASON.banned:
    case REASON.badAuthMethod:
    case CONNACK_311.badCredentials:
    case CONNACK_311.notAuthorized:
      return new GatelogError(
        'UPSTREAM_UNAUTHENTICATED',
        `${message}: check the user name, the password and the far side's rights`,
      );
    case REASON.unsupportedVersion:
    case CONNACK_311.unsupportedVersion:
      return new GatelogError(
        'UPSTREAM_UNSUPPORTED',
        `${message}: the far side does not speak this MQTT version; set the mirror's protocol to 3.1.1`,
      );
    default:
      return (
        wayError(error, facts) ??
        new GatelogError('UPSTREAM_UNREACHABLE', message, { cause: error })
      );
  }
}

/** The client library's. */
const KEEPALIVE = /^keepalive timeout$/iu;
const UNANSWERED =
  'the far side did not answer a ping: the link swallows what is sent, or the far side stands still';

function wayError(error: unknown, facts: ConnectFacts | undefined): GatelogError | undefined {
  if (facts === undefined) return undefined;
  const { where, watch, secure } = facts;
  const trouble = connectTrouble([...causesOf(error)], facts);
  if (trouble !== undefined) {
    const code =
      trouble.kind === 'certificate' ? 'UPSTREAM_UNAUTHENTICATED' : 'UPSTREAM_UNREACHABLE';
    return new GatelogError(code, trouble.text, { cause: error });
  }
  const status = /Unexpected server response: (\d+)/u.exec(messageOf(error))?.[1];
  if (status !== undefined) {
    const text = `${where} answers with HTTP ${status} and no WebSocket: check the path, or a captive portal or a web proxy stands in the way`;
    return new GatelogError('UPSTREAM_UNREACHABLE', text, { cause: error });
  }
  // Nothing came back before the end.
  if (systemCodeOf(error) !== undefined || watch?.stage !== 'open' || watch.hasAnswered) {
    return undefined;
  }
  const hint = secure ? 'a client certificate or other rights' : 'TLS (then use mqtts), or rights';
  const text = `${where}: ${describe(error)} before MQTT was answered: the far side wants ${hint}`;
  return new GatelogError('UPSTREAM_UNREACHABLE', text, { cause: error });
}

/** The error of a session that the far side ended with a DISCONNECT. `sameId`: mirrors with our client id. */
export function disconnectError(
  where: string,
  reasonCode: number,
  reason: string,
  sameId: readonly string[] = [],
): GatelogError {
  if (reasonCode === REASON.takenOver) {
    const [other] = sameId;
    const why =
      other === undefined
        ? 'two gateways with one id, perhaps cloned from one image; give each its own gateway id'
        : `mirror "${other}" of this gateway has the same one, and leads to the same broker; set clientId for one of them`;
    const text = `${where}: another client with our client id took over: ${why}`;
    return new GatelogError('UPSTREAM_FENCED', text);
  }
  const text = reason === '' ? '' : ` (${reason})`;
  return new GatelogError(
    'UPSTREAM_UNREACHABLE',
    `${where}: the far side ended the connection with reason ${hex(reasonCode)}${text}`,
  );
}

/** Of a session over which nothing came for this long. `due`: acknowledgements. */
export function silentError(where: string, silentMs: number, due: number): GatelogError {
  const what = due === 0 ? 'a ping is unanswered' : `${due} acknowledgements are due`;
  const text = `${where}: ${what}, and none came for ${formatDuration(silentMs)}: the link swallows what is sent, or the far side stands still`;
  return new GatelogError('UPSTREAM_UNCERTAIN', text);
}

/** Some brokers throw the older of two clients with one id out without a word. `sameId`: mirrors with ours. */
export function closedError(where: string, [other]: readonly string[] = []): GatelogError {
  const hint =
    other === undefined
      ? ''
      : `; mirror "${other}" of this gateway has the same client id: if both lead to one broker, they throw each other out, so set clientId for one of them`;
  return new GatelogError('UPSTREAM_UNREACHABLE', `${where}: the connection was closed${hint}`);
}

const LASTING: ReadonlySet<string> = new Set([
  'UPSTREAM_FENCED',
  'UPSTREAM_UNSUPPORTED',
  'UPSTREAM_MISMATCH',
]);

export function dispositionOf(error: unknown): Disposition {
  if (error instanceof TopicRefused) return { kind: 'stop-topic', topic: error.topic };
  if (error instanceof GatelogError) {
    if (LASTING.has(error.code)) return { kind: 'halt' };
  }
  return { kind: 'retry' };
}

/** The client library's errors carry the reason code as a number in `code`. */
export function reasonCodeOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'number' ? error.code : undefined;
}

/** A publish ends with nothing, null or an error; `hasIt`: the far side has said that it has the record. */
export function isRefusal(error: unknown, hasIt: boolean): boolean {
  if (error === undefined || error === null) return false;
  // One that does not know the id of a PUBREL has released the record before.
  return !hasIt || reasonCodeOf(error) !== REASON.packetIdNotFound;
}

export function describe(error: unknown): string {
  // Several addresses of one name, each refused, come as one error with an empty message.
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return messageOf(error);
}
