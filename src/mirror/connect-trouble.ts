import { isIP } from 'node:net';
import { messageOf, systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { isoTime } from '../time.ts';
import { formatDuration } from '../units.ts';
import { type SeenCertificate, type SocketWatch, StrangerError } from './socket-watch.ts';

/**
 * Why a connection came to nothing, for people: what is wrong, and what to do. The same for every
 * kind of far side; what only one of them says (credentials, ACLs) is told beside it.
 */
export interface ConnectFacts {
  /** Whom it was to reach, as in `Kafka at kafka-1:9092`. */
  readonly where: string;
  readonly host: string;
  /** The protocol that was to be spoken, as in `Kafka`. */
  readonly protocol: string;
  readonly secure: boolean;
  /** How long it was waited for. */
  readonly timeoutMs: number;
  readonly watch: SocketWatch | undefined;
  readonly clock: ClockWord;
}

/** What TLS goes by, and what is known of it. */
export interface ClockWord {
  /** The system's clock, ms. */
  readonly wallMs: number;
  /** The best that is known, ms. */
  readonly bestMs: number;
  /** False: the best that is known is wrong. */
  readonly isSound: boolean;
}

export type ConnectTrouble =
  | { readonly kind: 'certificate'; readonly text: string }
  | { readonly kind: 'unreachable'; readonly text: string };

/** undefined: nothing is known but the error's own words. `chain`: the error and its causes. */
export function connectTrouble(
  chain: readonly unknown[],
  facts: ConnectFacts,
): ConnectTrouble | undefined {
  const codes = chain.map(systemCodeOf).filter((code) => code !== undefined);
  const refused = codes.find((code) => isCertificateCode(code));
  if (refused !== undefined) {
    const text = certificateText(refused, messageOf(chain.at(-1)), facts);
    return { kind: 'certificate', text };
  }
  const alert = codes.find((code) => code.includes('ALERT')) ?? alertIn(chain);
  if (alert !== undefined) return alertTrouble(alert, facts);
  const text = strangerText(chain, codes, facts) ?? wayText(chain, codes, facts);
  return text === undefined ? undefined : { kind: 'unreachable', text };
}

/** The error and its causes, the several of one AggregateError among them. */
export function* causesOf(error: unknown): Generator {
  let current = error;
  for (let depth = 0; depth < 10 && current !== undefined; depth++) {
    yield current;
    if (current instanceof AggregateError) {
      for (const inner of current.errors) yield* causesOf(inner);
    }
    current = current instanceof Error ? current.cause : undefined;
  }
}

/** Node's names for a certificate that we refuse (tls, "X509 certificate error codes"). */
function isCertificateCode(code: string): boolean {
  if (code.includes('ALERT')) return false;
  return code.includes('CERT') || code.startsWith('UNABLE_TO_');
}

function certificateText(code: string, words: string, facts: ConnectFacts): string {
  const { where, host, watch } = facts;
  const seen = watch?.certificate;
  const head = `The certificate of ${where} is not accepted (${code})`;
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return `${head}: it expired${at(seen?.validTo)}; ${clockText(facts, 'renew the certificate')}`;
    case 'CERT_NOT_YET_VALID':
      return `${head}: it is not valid before${at(seen?.validFrom, ' its time')}; ${clockText(facts, 'the certificate was made too late')}`;
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `${head}: it is for ${namesOf(seen)}, and '${host}' was asked for; set tls.serverName if that is right, else something else answers there`;
    default:
      return `${head}: ${words}; it was issued by ${issuerOf(seen)}: check tls.ca and tls.serverName (a captive portal, or a proxy that looks into TLS, answers like this too)`;
  }
}

function at(time: string | undefined, unknown = ''): string {
  return time === undefined ? unknown : ` ${time}`;
}

function namesOf(seen: SeenCertificate | undefined): string {
  return seen === undefined || seen.names === '' ? 'other names' : seen.names;
}

function issuerOf(seen: SeenCertificate | undefined): string {
  return seen === undefined || seen.issuer === '' ? 'an unnamed authority' : `'${seen.issuer}'`;
}

/** TLS goes by the system's clock, whatever we know better. */
function clockText({ clock }: ConnectFacts, otherwise: string): string {
  const { wallMs, bestMs, isSound } = clock;
  const shows = `this machine's clock shows ${isoTime(wallMs)}`;
  const set = 'set it (network time, a battery-backed clock)';
  if (!isSound) return `${shows}, which is wrong: ${set}`;
  if (Math.abs(wallMs - bestMs) >= LIMITS.clockToleranceMs) {
    return `${shows}, and the time is ${isoTime(bestMs)}: ${set}`;
  }
  return `${shows}: if that is wrong ${set}, else ${otherwise}`;
}

/** Some errors of TLS have their alert only in OpenSSL's words; a code is made of it as others have it. */
function alertIn(chain: readonly unknown[]): string | undefined {
  const words = chain
    .map((one) => /\balert ([a-z ]+)/u.exec(messageOf(one))?.[1])
    .find((found) => found !== undefined);
  return words === undefined
    ? undefined
    : `ALERT_${words.trim().replaceAll(' ', '_').toUpperCase()}`;
}

/** The far side ended the handshake: about our certificate, or about TLS itself. */
function alertTrouble(code: string, facts: ConnectFacts): ConnectTrouble {
  const { where } = facts;
  if (/PROTOCOL_VERSION|HANDSHAKE_FAILURE|INSUFFICIENT_SECURITY|INTERNAL_ERROR/u.test(code)) {
    const text = `${where} ends the TLS handshake (${code}): it wants another TLS version or cipher, or a client certificate (tls.cert and tls.key)`;
    return { kind: 'unreachable', text };
  }
  if (code.includes('UNRECOGNIZED_NAME')) {
    const text = `${where} does not know the name that TLS asked for (${code}): check tls.serverName`;
    return { kind: 'unreachable', text };
  }
  const text = `${where} refuses our client certificate (${code}): set tls.cert and tls.key to one that the brokers trust and that has not expired`;
  return { kind: 'certificate', text };
}

const PORTAL =
  'a captive portal or a web proxy stands in the way: log in to the network, or mend the way';

function strangerText(
  chain: readonly unknown[],
  codes: readonly string[],
  { where, protocol, secure, watch }: ConnectFacts,
): string | undefined {
  const wantsTls = chain.some((one) => messageOf(one).includes('requires TLS'));
  const found = chain.find((one) => one instanceof StrangerError)?.stranger;
  const stranger = wantsTls ? 'tls' : found;
  switch (stranger) {
    case undefined:
      break;
    case 'http':
      return `${where} answers in HTTP, not in ${protocol}: ${PORTAL} (or the port is that of a web server)`;
    case 'tls':
      return `${where} answers in TLS: this listener requires TLS (configure tls)`;
    case 'other':
      return `${where} does not speak ${protocol}: check the port`;
  }
  if (!secure) return undefined;
  const plain = `is this a plaintext listener? then ${protocol === 'MQTT' ? 'write mqtt:// or ws:// and ' : ''}leave tls out`;
  if (codes.some((code) => /WRONG_VERSION_NUMBER|PACKET_LENGTH|^EPROTO$/u.test(code))) {
    return `${where} does not speak TLS: ${plain}; if it is none, ${PORTAL}`;
  }
  // A plaintext broker takes the begin of TLS for a broken packet, and hangs up.
  const hungUp = codes.some((code) => code === 'ECONNRESET' || code === 'EPIPE');
  if (watch?.stage !== 'securing' || !hungUp) return undefined;
  return `${where} hangs up when TLS begins, as one that does not speak TLS: ${plain}; if it is none, it goes down, or something on the way lets no TLS through`;
}

/** How far it came. */
function wayText(
  chain: readonly unknown[],
  codes: readonly string[],
  facts: ConnectFacts,
): string | undefined {
  const { where, host } = facts;
  if (codes.includes('ENOTFOUND')) {
    return `${where}: the name '${host}' is not known to the resolver (ENOTFOUND): check the name, and the DNS that this machine asks`;
  }
  if (codes.includes('EAI_AGAIN')) {
    return `${where}: the name '${host}' could not be resolved (EAI_AGAIN): the DNS that this machine asks is not reachable or does not answer`;
  }
  const lost = codes.find((code) => code === 'ENETUNREACH' || code === 'EHOSTUNREACH');
  if (lost !== undefined) {
    return `${where}: this machine has no way there (${lost}): no network, no route, or the far side's host is off`;
  }
  const isTimeout =
    codes.includes('ETIMEDOUT') || chain.some((one) => /timed? ?out/iu.test(messageOf(one)));
  return isTimeout ? timeoutText(facts) : undefined;
}

function timeoutText({ where, host, protocol, watch, timeoutMs }: ConnectFacts): string {
  const within = `within ${formatDuration(timeoutMs)}`;
  switch (watch?.stage) {
    case 'resolving':
      return isIP(host) === 0
        ? `${where}: the name '${host}' was not resolved ${within}: the DNS that this machine asks does not answer`
        : `${where}: no connection ${within}`;
    case 'connecting':
      return `${where}: no answer from ${watch.address ?? host} ${within}, not even a refusal: a firewall or a dead link swallows the packets, or the address is wrong`;
    case 'securing':
      return `${where}: it took the connection, and then did not go on with the TLS handshake ${within}: the way lets nothing more through, or it does not speak TLS`;
    case 'open':
    case undefined:
      return watch?.hasAnswered === true
        ? `${where}: no answer ${within}, after it had answered before: the link swallows what is sent, or the far side stands still`
        : `${where}: it took the connection, and then answered nothing in ${protocol} ${within}: the link swallows what is sent, or something else listens there`;
  }
}
