import {
  type API,
  apiVersionsV3,
  Connection,
  type ConnectionOptions,
  ResponseError,
} from '@platformatic/kafka';
import { isIP } from 'node:net';
import { GatelogError, messageOf } from '../../errors.ts';
import { connectionTrouble, requestTrouble } from './trouble.ts';
import { KAFKA_DEFAULTS, type KafkaConnection, tlsOptions } from './options.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

interface Opened {
  readonly address: Address;
  readonly connection: Connection;
  readonly ready: Promise<Connection>;
  /** Something was answered over it. Until then its failure is told to who waits for an answer. */
  used: boolean;
}

/**
 * One connection per broker. Those in use together are one session's: when one breaks the session
 * is spent, and a new session opens its own. (A connection that outlived a session could carry its
 * late answers into the next.) One that never came to stand, or over which nothing was ever
 * answered, breaks no session: another broker may serve it. The library keeps the requests of one
 * connection in order.
 */
export class Links {
  readonly #options: KafkaConnection;
  readonly #connectionOptions: ConnectionOptions;
  readonly #open = new Map<string, Opened>();
  readonly #onBroken: (error: GatelogError) => void;
  readonly #socketErrors = new WeakMap<Connection, Error>();
  #closed = false;

  constructor(options: KafkaConnection, onBroken: (error: GatelogError) => void) {
    this.#options = options;
    this.#onBroken = onBroken;
    this.#connectionOptions = {
      connectTimeout: options.connectTimeoutMs ?? KAFKA_DEFAULTS.connectTimeoutMs,
      requestTimeout: options.requestTimeoutMs ?? KAFKA_DEFAULTS.requestTimeoutMs,
      // A broker remembers the last five batches of a producer and partition; see KAFKA-5494.
      maxInflights: 5,
      ...(options.sasl === undefined
        ? {}
        : { sasl: { ...options.sasl, ...saslExtensions(options.sasl) } }),
    };
  }

  /**
   * The connection to a broker, opened if need be. Rejects with UPSTREAM_UNREACHABLE or
   * UPSTREAM_UNAUTHENTICATED.
   */
  to(address: Address): Promise<Connection> {
    const name = `${address.host}:${address.port}`;
    const known = this.#open.get(name);
    if (known !== undefined) return known.ready;
    if (this.#closed) return Promise.reject(closedError());
    const connection = new Connection(this.#options.clientId ?? 'gatelog', {
      ...this.#connectionOptions,
      ...tlsFor(this.#options, address.host),
    });
    const ready = this.#connect(connection, address, name);
    this.#open.set(name, { address, connection, ready, used: false });
    return ready;
  }

  /**
   * Sends one request. An answer that carries error codes is returned like any other: the caller
   * knows which code means what. Rejects with UPSTREAM_UNREACHABLE when no answer came; whether
   * the broker acted is then not known.
   */
  async call<A extends unknown[], R>(address: Address, api: API<A, R>, ...args: A): Promise<R> {
    const connection = await this.to(address);
    try {
      const answer = await api.async(connection, ...args);
      this.#answered(address, connection);
      return answer;
    } catch (error) {
      if (error instanceof ResponseError) {
        this.#answered(address, connection);
        const { response } = error as unknown as { response?: R };
        if (response !== undefined) return response;
      }
      // The library tells a waiting request only that its connection closed; the socket said why.
      throw requestTrouble(this.#socketErrors.get(connection) ?? error, address, this.#options);
    }
  }

  /** Highest version of each API that the broker knows. */
  async versions(address: Address): Promise<ReadonlyMap<number, { min: number; max: number }>> {
    const answer = await this.call(address, apiVersionsV3.api, 'gatelog', '1');
    return new Map(
      answer.apiKeys.map((api) => [api.apiKey, { min: api.minVersion, max: api.maxVersion }]),
    );
  }

  get addresses(): readonly Address[] {
    return [...this.#open.values()].map(({ address }) => address);
  }

  /** Ends one connection, on purpose: the session goes on without it. */
  drop(address: Address): void {
    const name = `${address.host}:${address.port}`;
    const known = this.#open.get(name);
    this.#open.delete(name);
    if (known !== undefined) end(known.connection);
  }

  /** Declares the session broken. */
  breakOff(error: GatelogError): void {
    if (!this.#closed) this.#onBroken(error);
  }

  /** Ends every connection at once; what was not yet on the wire is dropped. Never rejects. */
  close(): void {
    this.#closed = true;
    for (const { connection } of this.#open.values()) end(connection);
    this.#open.clear();
  }

  async #connect(connection: Connection, address: Address, name: string): Promise<Connection> {
    // The first error is the one that connect() rejects with; those of a used one break the session.
    connection.on('error', (error: Error) => {
      this.#socketErrors.set(connection, error);
      this.#broke(name, connection, error);
    });
    connection.on('close', () => this.#broke(name, connection, undefined));
    try {
      await connection.connect(address.host, address.port);
    } catch (error) {
      if (this.#open.get(name)?.connection === connection) this.#open.delete(name);
      throw this.#closed ? closedError() : connectionTrouble(error, address, this.#options);
    }
    return connection;
  }

  #answered({ host, port }: Address, connection: Connection): void {
    const known = this.#open.get(`${host}:${port}`);
    if (known?.connection === connection) known.used = true;
  }

  #broke(name: string, connection: Connection, error: Error | undefined): void {
    const known = this.#open.get(name);
    if (this.#closed || known?.connection !== connection) return;
    this.#open.delete(name);
    // Its status is no help here: the library calls a failed connect an error before it says so.
    if (!known.used) return;
    const reason = error === undefined ? 'the broker closed the connection' : messageOf(error);
    this.#onBroken(
      new GatelogError(
        'UPSTREAM_UNREACHABLE',
        `Lost the connection to Kafka at ${name}: ${reason}`,
        {
          cause: error,
        },
      ),
    );
  }
}

function end(connection: Connection): void {
  const { socket } = connection as unknown as { socket?: { destroy(): void } };
  connection.close(() => {});
  socket?.destroy();
}

/** Names the broker to the far side (SNI) unless it is known by a number only (RFC 6066). */
function tlsFor(
  options: KafkaConnection,
  host: string,
): Pick<ConnectionOptions, 'tls' | 'tlsServerName'> {
  if (options.tls === undefined) return {};
  const name = options.tls.servername ?? (isIP(host) === 0 ? host : undefined);
  const tls = tlsOptions(options.tls);
  return name === undefined ? { tls } : { tls, tlsServerName: name };
}

function saslExtensions(sasl: KafkaConnection['sasl']): {
  oauthBearerExtensions?: Record<string, string>;
} {
  if (sasl?.mechanism !== 'OAUTHBEARER' || sasl.extensions === undefined) return {};
  return { oauthBearerExtensions: { ...sasl.extensions } };
}

function closedError(): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', 'The session with Kafka was closed');
}

/** `host:port`, with brackets around an IPv6 address. */
export function parseAddress(text: string): Address {
  const parts = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]+)):(?<port>\d+)$/u.exec(text);
  const host = parts?.groups?.['v6'] ?? parts?.groups?.['host'];
  const port = Number(parts?.groups?.['port']);
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `A Kafka broker is given as host:port, for example kafka.example.org:9092; got '${text}'`,
    );
  }
  return { host, port };
}
