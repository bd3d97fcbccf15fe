import {
  AuthenticationError,
  type Connection,
  ResponseError,
  saslAuthenticateV2,
  saslHandshakeV1,
  saslOAuthBearer,
  saslPlain,
  saslScramSha,
} from '@platformatic/kafka';
import type { KafkaSasl } from './options.ts';

/**
 * Logs in over a connection that stands (KIP-43, KIP-152, KIP-368). The library's own way asks for
 * the broker's versions first, then for its mechanisms, then begins: each a round trip. The
 * mechanism is configured, SaslAuthenticate v2 is as old as the oldest brokers that we speak to
 * (2.4), and a broker takes requests in order, so the handshake and the first message travel
 * together: one round trip, two with SCRAM. Answers how long the login holds, in ms; 0: for ever.
 * Nothing else may be sent meanwhile.
 */
export async function logIn(connection: Connection, sasl: KafkaSasl): Promise<number> {
  const handshake = saslHandshakeV1.api.async(connection, sasl.mechanism);
  const authentication = authenticate(connection, sasl);
  authentication.catch(() => {}); // The handshake's refusal tells more; looked at below.
  try {
    await handshake;
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    throw new AuthenticationError('The broker does not know this mechanism.', { cause: error });
  }
  const { sessionLifetimeMs } = await authentication;
  return Number(sessionLifetimeMs);
}

type Answer = Awaited<ReturnType<typeof saslPlain.authenticate>>;

async function authenticate(connection: Connection, sasl: KafkaSasl): Promise<Answer> {
  const { api } = saslAuthenticateV2;
  try {
    switch (sasl.mechanism) {
      case 'PLAIN':
        return await saslPlain.authenticate(api, connection, sasl.username, sasl.password);
      case 'OAUTHBEARER':
        return await saslOAuthBearer.authenticate(api, connection, sasl.token, {
          ...sasl.extensions,
        });
      case 'SCRAM-SHA-256':
      case 'SCRAM-SHA-512': {
        const { authenticate: scram } = saslScramSha;
        const algorithm = sasl.mechanism === 'SCRAM-SHA-256' ? 'SHA-256' : 'SHA-512';
        return await scram(api, connection, algorithm, sasl.username, sasl.password);
      }
    }
  } catch (error) {
    if (error instanceof ResponseError) {
      throw new AuthenticationError('SASL authentication failed.', { cause: error });
    }
    // The library calls a link that broke meanwhile a refusal, too.
    const { cause } = error as AuthenticationError;
    throw cause === undefined || cause instanceof ResponseError ? error : cause;
  }
}
