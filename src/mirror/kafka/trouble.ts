import { AuthenticationError } from '@platformatic/kafka';
import { type ErrorCode, GatelogError, messageOf } from '../../errors.ts';
import { systemClock } from '../../time.ts';
import { causesOf, connectTrouble } from '../connect-trouble.ts';
import { type SocketWatch, type Stranger, strangerOf } from '../socket-watch.ts';
import { KAFKA_DEFAULTS, type KafkaConnection } from './options.ts';

/** Turns what the library and the sockets throw into errors that a person can act on. */

interface Broker {
  readonly host: string;
  readonly port: number;
}

/** The longest answer that is taken for one: Kafka's own bound of a request (socket.request.max.bytes). */
const LONGEST_ANSWER_BYTES = 104_857_600; // 100 MiB

/** An answer of Kafka begins with its length. */
export function foreignToKafka(first: Buffer): Stranger | undefined {
  const stranger = strangerOf(first);
  if (stranger !== undefined || first.length < 4) return stranger;
  const length = first.readInt32BE(0);
  return length < 4 || length > LONGEST_ANSWER_BYTES ? 'other' : undefined;
}

/** A broker that stands did not answer a request in time. */
export class LateAnswer extends GatelogError {
  constructor({ code, message, cause }: GatelogError) {
    super(code, message, { cause });
  }
}

/** Why a connection could not be made. */
export function connectionTrouble(
  error: unknown,
  broker: Broker,
  options: KafkaConnection,
  watch?: SocketWatch,
): GatelogError {
  const where = `${broker.host}:${broker.port}`;
  const chain = [...causesOf(error)];
  if (chain.some((cause) => cause instanceof AuthenticationError)) {
    return refusedCredentials(chain, where, options);
  }
  const timeoutMs = options.connectTimeoutMs ?? KAFKA_DEFAULTS.connectTimeoutMs;
  return troubleOf(chain, broker, options, { watch, timeoutMs, lead: "Can't reach" });
}

/** Why a request got no answer. */
export function requestTrouble(
  error: unknown,
  broker: Broker,
  options: KafkaConnection,
  watch?: SocketWatch,
): GatelogError {
  if (error instanceof GatelogError) return error;
  const timeoutMs = options.requestTimeoutMs ?? KAFKA_DEFAULTS.requestTimeoutMs;
  const lead = 'No answer from';
  return troubleOf([...causesOf(error)], broker, options, { watch, timeoutMs, lead });
}

interface Attempt {
  readonly watch: SocketWatch | undefined;
  readonly timeoutMs: number;
  readonly lead: string;
}

function troubleOf(
  chain: readonly unknown[],
  broker: Broker,
  options: KafkaConnection,
  { watch, timeoutMs, lead }: Attempt,
): GatelogError {
  const { host, port } = broker;
  const { tls, clock = systemClock, isClockSound } = options;
  const trouble = connectTrouble(chain, {
    where: `Kafka at ${host}:${port}`,
    host,
    protocol: 'Kafka',
    secure: tls !== undefined,
    timeoutMs,
    watch,
    clock: {
      wallMs: systemClock.nowMs(),
      bestMs: clock.nowMs(),
      isSound: isClockSound?.() !== false,
    },
  });
  const [cause] = chain;
  if (trouble?.kind === 'certificate') {
    return new GatelogError('UPSTREAM_UNAUTHENTICATED', trouble.text, { cause });
  }
  const words = `${messageOf(chain.at(-1))}${hintFor(chain, options, watch)}`;
  const text = trouble?.text ?? `${lead} Kafka at ${host}:${port}: ${words}`;
  const advertised = advertisedText(broker, options);
  return new GatelogError('UPSTREAM_UNREACHABLE', `${text}${advertised}`, { cause });
}

/**
 * The most common misconfiguration of Kafka: clients are sent on to addresses that only the brokers
 * themselves can reach.
 */
function advertisedText({ host, port }: Broker, { brokers }: KafkaConnection): string {
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  if (brokers.length === 0 || brokers.includes(where)) return '';
  return `; ${where} is not in 'brokers', it is what the cluster advertises: unless that broker is down, set advertised.listeners of the brokers to addresses that this gateway can resolve and reach`;
}

function refusedCredentials(
  chain: readonly unknown[],
  where: string,
  options: KafkaConnection,
): GatelogError {
  const texts = chain.flatMap((cause) => serverText(cause));
  const reason = texts.at(-1) ?? messageOf(chain.at(-1));
  const { sasl } = options;
  const who = sasl !== undefined && 'username' in sasl ? ` as '${sasl.username}'` : '';
  const how = sasl === undefined ? '' : ` with SASL ${sasl.mechanism}`;
  const code: ErrorCode = 'UPSTREAM_UNAUTHENTICATED';
  return new GatelogError(
    code,
    `Kafka at ${where} refuses to log us in${who}${how}: ${reason}; check the user, the secret and the mechanism`,
    { cause: chain[0] },
  );
}

function serverText(cause: unknown): string[] {
  if (typeof cause !== 'object' || cause === null || !('serverErrorMessage' in cause)) return [];
  const text = cause.serverErrorMessage;
  return typeof text === 'string' && text !== '' ? [text] : [];
}

function hintFor(
  chain: readonly unknown[],
  { tls, sasl }: KafkaConnection,
  watch: SocketWatch | undefined,
): string {
  const texts = chain.map(messageOf).join(' ');
  if (tls !== undefined && /TLS handshake/u.test(texts)) {
    return ' (is this a plaintext listener? then leave tls out)';
  }
  // Its TLS alert is not always seen: what we had sent on makes its kernel reset the connection, and
  // ours drops what it had received.
  if (watch?.hasAnswered === true || !/Connection closed|ready|ECONNRESET|EPIPE/u.test(texts)) {
    return '';
  }
  const wanted = [
    tls === undefined ? 'TLS (configure tls)' : 'another client certificate (tls.cert, tls.key)',
    ...(sasl === undefined ? ['SASL (configure sasl)'] : []),
  ].join(' or ');
  return ` (a listener that wants ${wanted} closes the connection like this)`;
}
