import { AuthenticationError } from '@platformatic/kafka';
import { type ErrorCode, GatelogError, messageOf, systemCodeOf } from '../../errors.ts';
import type { KafkaConnection } from './options.ts';

/** Turns what the library and the sockets throw into errors that a person can act on. */

/** Why a connection could not be made. */
export function connectionTrouble(
  error: unknown,
  address: { readonly host: string; readonly port: number },
  options: KafkaConnection,
): GatelogError {
  const where = `${address.host}:${address.port}`;
  const chain = [...causesOf(error)];
  if (chain.some((cause) => cause instanceof AuthenticationError)) {
    return refusedCredentials(chain, where, options);
  }
  const codes = chain.map(systemCodeOf);
  const certificate = codes.find((code) => code !== undefined && isCertificateTrouble(code));
  if (certificate !== undefined) return refusedCertificate(chain, certificate, where);
  const deepest = chain.at(-1);
  return new GatelogError(
    'UPSTREAM_UNREACHABLE',
    `Can't reach Kafka at ${where}: ${messageOf(deepest)}${hintFor(chain, options)}`,
    { cause: error },
  );
}

/** Why a request got no answer. */
export function requestTrouble(
  error: unknown,
  address: { readonly host: string; readonly port: number },
  options: KafkaConnection,
): GatelogError {
  if (error instanceof GatelogError) return error;
  const chain = [...causesOf(error)];
  const codes = chain.map(systemCodeOf);
  const certificate = codes.find((code) => code !== undefined && isCertificateTrouble(code));
  const where = `${address.host}:${address.port}`;
  if (certificate !== undefined) return refusedCertificate(chain, certificate, where);
  return new GatelogError(
    'UPSTREAM_UNREACHABLE',
    `No answer from Kafka at ${where}: ${messageOf(chain.at(-1))}${hintFor(chain, options)}`,
    { cause: error },
  );
}

function* causesOf(error: unknown): Generator {
  let current = error;
  for (let depth = 0; depth < 10 && current !== undefined; depth++) {
    yield current;
    if (current instanceof AggregateError) {
      for (const inner of current.errors) yield* causesOf(inner);
    }
    current = current instanceof Error ? current.cause : undefined;
  }
}

/** Node's names for a refused certificate, and OpenSSL's alerts about ours. */
function isCertificateTrouble(code: string): boolean {
  return code.includes('CERT') || code.startsWith('UNABLE_TO_') || code.startsWith('ERR_SSL_TLSV1');
}

function refusedCertificate(chain: unknown[], code: string, where: string): GatelogError {
  const ours = code.includes('ALERT');
  const text = ours
    ? `Kafka at ${where} refuses our client certificate (${code}): set tls.cert and tls.key to one that the brokers trust`
    : `The certificate of Kafka at ${where} is not accepted (${code}): ${messageOf(chain.at(-1))}; check tls.ca and tls.serverName`;
  return new GatelogError('UPSTREAM_UNAUTHENTICATED', text, { cause: chain[0] });
}

function refusedCredentials(
  chain: unknown[],
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

function hintFor(chain: readonly unknown[], options: KafkaConnection): string {
  const texts = chain.map(messageOf).join(' ');
  if (texts.includes('requires TLS')) return ' (configure tls)';
  if (options.tls !== undefined && /TLS handshake|wrong version number|EPROTO/u.test(texts)) {
    return ' (is this a plaintext listener? then leave tls out)';
  }
  if (/Connection closed|ready/u.test(texts) && options.sasl === undefined) {
    return ' (a listener that wants TLS or SASL closes the connection like this)';
  }
  return '';
}
