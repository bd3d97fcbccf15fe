import {
  type API,
  apiVersionsV3,
  Connection,
  type ConnectionOptions,
  metadataV9,
  ResponseError,
  TimeoutError,
} from '@platformatic/kafka';
import { isIP, setDefaultAutoSelectFamilyAttemptTimeout } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { GatelogError, messageOf } from '../../errors.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import { systemClock, type Timer } from '../../time.ts';
import { SocketWatch } from '../socket-watch.ts';
import { causesOf } from '../connect-trouble.ts';
import { type Address, addressName, distinct } from './address.ts';
import type { AnswerPatience } from './answer-patience.ts';
import type { KnownCluster } from './known-cluster.ts';
import { logIn } from './login.ts';
import { connectionTrouble, foreignToKafka, LateAnswer, requestTrouble } from './trouble.ts';
import { throttledMs } from './throttle.ts';
import { KAFKA_DEFAULTS, type KafkaConnection, tlsOptions } from './options.ts';

/** By API key. */
export type Versions = ReadonlyMap<number, { readonly min: number; readonly max: number }>;

/**
 * What a connection is for. Records on a long or thin link take their time, and what is lost of them
 * holds up what comes after: the small requests of the same broker do not wait behind them, but for the
 * positions of the same transaction (transaction.ts).
 */
export type Purpose = 'requests' | 'records';

interface Opened {
  readonly address: Address;
  readonly purpose: Purpose;
  readonly connection: Connection;
  /** Pending while it connects and logs in, also when it has to log in again. */
  ready: Promise<Connection>;
  relogin?: Timer;
  /** Requests without an answer. */
  awaited: number;
  /** Something was answered over it. Until then its failure is told to who waits for an answer. */
  used: boolean;
  /** Called with the first answer: the attempt to connect came to something. */
  worked: () => void;
}

/**
 * One connection per broker and purpose. Those in use together are one session's: when one breaks the
 * session is spent, and a new session opens its own. (A connection that outlived a session could carry its
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
  readonly #watches = new WeakMap<Connection, SocketWatch>();
  readonly #ended = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  readonly #tlsSessions: Map<string, Buffer> | undefined;
  readonly #patience: AnswerPatience | undefined;
  #closed = false;
  #isAnswered = false;
  /** For records, and nothing was answered over any when they came to stand. */
  readonly #standing: Opened[] = [];
  /** Called with every answer. */
  onAnswer: () => void = () => {};

  constructor(
    options: KafkaConnection,
    onBroken: (error: GatelogError) => void,
    known?: KnownCluster,
    patience?: AnswerPatience,
  ) {
    const requestTimeoutMs =
      patience?.next() ?? options.requestTimeoutMs ?? KAFKA_DEFAULTS.requestTimeoutMs;
    this.#options = { ...options, requestTimeoutMs };
    this.#patience = patience;
    this.#onBroken = onBroken;
    // Node gives up an address of several after 250 ms, which no satellite link keeps.
    setDefaultAutoSelectFamilyAttemptTimeout(MIRROR_LIMITS.connectAddressMs);
    this.#tlsSessions = known?.tlsSessions;
    this.#connectionOptions = {
      connectTimeout: options.connectTimeoutMs ?? KAFKA_DEFAULTS.connectTimeoutMs,
      // The usual five are for who sends a batch again, for brokers know a producer's last five
      // (KAFKA-5494). We never do; on a long link more must be under way.
      maxInflights: MIRROR_LIMITS.kafkaInflights,
    };
  }

  /**
   * The connection to a broker, opened if need be. Rejects with UPSTREAM_UNREACHABLE or
   * UPSTREAM_UNAUTHENTICATED.
   */
  to(address: Address, purpose: Purpose = 'requests'): Promise<Connection> {
    const name = addressName(address);
    const key = keyOf(address, purpose);
    const known = this.#open.get(key);
    if (known !== undefined) return known.ready;
    if (this.#closed) return Promise.reject(closedError());
    const connection = new Connection(this.#options.clientId ?? 'gatelog', {
      ...this.#connectionOptions,
      requestTimeout: this.#answerMs(purpose),
      ...tlsFor(this.#options, address.host, this.#tlsSessions?.get(name)),
    });
    const ready = this.#connect(connection, address, key);
    const opened: Opened = {
      address,
      purpose,
      connection,
      ready,
      awaited: 0,
      used: false,
      worked: () => {},
    };
    this.#open.set(key, opened);
    return ready;
  }

  /**
   * Sends one request. An answer that carries error codes is returned like any other: the caller
   * knows which code means what. Rejects with UPSTREAM_UNREACHABLE when no answer came; whether
   * the broker acted is then not known.
   */
  call<A extends unknown[], R>(address: Address, api: API<A, R>, ...args: A): Promise<R> {
    return this.callOver('requests', address, api, ...args);
  }

  /** The same over the connection for that purpose. */
  async callOver<A extends unknown[], R>(
    purpose: Purpose,
    address: Address,
    api: API<A, R>,
    ...args: A
  ): Promise<R> {
    const { throttle } = this.#options;
    const key = keyOf(address, purpose);
    const held = throttle?.waitFor(key);
    if (held !== undefined) await Promise.race([held, this.#over.promise]);
    // Last: once it is ready nothing may be waited for, or a renewed login may have begun on it.
    const connection = await this.to(address, purpose);
    if (this.#closed) throw closedError();
    this.#awaited(key, connection, 1);
    try {
      const answer = await api.async(connection, ...args);
      throttle?.note(key, throttledMs(answer));
      this.#answered(key, connection);
      return answer;
    } catch (error) {
      if (error instanceof ResponseError) {
        this.#answered(key, connection);
        const { response } = error as unknown as { response?: R };
        throttle?.note(key, throttledMs(response));
        if (response !== undefined) return response;
      }
      // The library tells a waiting request only that its connection closed; the socket said why.
      const telling = this.#socketErrors.get(connection) ?? error;
      const asked = { ...this.#options, requestTimeoutMs: this.#answerMs(purpose) };
      const trouble = requestTrouble(telling, address, asked, this.#watches.get(connection));
      throw this.#noteLate(telling, connection) ? new LateAnswer(trouble) : trouble;
    } finally {
      this.#awaited(key, connection, -1);
    }
  }

  /** Highest version of each API that the broker knows. */
  async versions(address: Address): Promise<Versions> {
    const answer = await this.call(address, apiVersionsV3.api, 'gatelog', '1');
    return new Map(
      answer.apiKeys.map((api) => [api.apiKey, { min: api.minVersion, max: api.maxVersion }]),
    );
  }

  get addresses(): readonly Address[] {
    return distinct([...this.#open.values()].map(({ address }) => address));
  }

  /**
   * Asks over one connection something small, or over every one. A request that fails over one in use
   * ends the session; one that never answered is made anew by who needs it. What is asked behind
   * records would wait for them, and they tell of their connection by themselves.
   */
  async probe(whom: 'one' | 'all'): Promise<void> {
    const known = [...this.#open.values()]
      .filter(({ purpose, awaited }) => purpose === 'requests' || awaited === 0)
      .toSorted((one, other) => PURPOSES.indexOf(one.purpose) - PURPOSES.indexOf(other.purpose));
    await Promise.all(
      (whom === 'one' ? known.slice(0, 1) : known).map(async (opened) => {
        const { address, purpose } = opened;
        try {
          await this.callOver(purpose, address, metadataV9.api, [], false, false, false);
        } catch (error) {
          if (opened.used || whom === 'one') throw error;
          this.#giveUp(opened);
        }
      }),
    );
    this.progressed();
  }

  /** For so long an answer may take, with what belongs to it. */
  get patienceMs(): number {
    return this.#answerMs('requests') + this.#answerMs('records');
  }

  /** Something was delivered: whatever else fails, the far side answers in time. */
  progressed(): void {
    this.#patience?.noteProgress();
  }

  /** Ends the connections to one broker, on purpose: the session goes on without them. */
  drop(address: Address): void {
    for (const purpose of PURPOSES) {
      const known = this.#open.get(keyOf(address, purpose));
      if (known !== undefined) this.#giveUp(known);
    }
  }

  #giveUp(opened: Opened): void {
    const key = keyOf(opened.address, opened.purpose);
    if (this.#open.get(key) === opened) this.#open.delete(key);
    end(opened);
  }

  /** Declares the session broken. */
  breakOff(error: GatelogError): void {
    if (!this.#closed) this.#onBroken(error);
  }

  /** Ends every connection at once; what was not yet on the wire is dropped. Never rejects. */
  close(): void {
    this.#closed = true;
    this.#ended.abort();
    this.#over.resolve();
    for (const opened of this.#open.values()) end(opened);
    this.#open.clear();
  }

  async #connect(connection: Connection, address: Address, key: string): Promise<Connection> {
    // The first error is the one that connect() rejects with; those of a used one break the session.
    connection.on('error', (error: Error) => {
      this.#socketErrors.set(connection, error);
      this.#broke(key, connection, error);
    });
    connection.on('close', () => this.#broke(key, connection, undefined));
    try {
      await this.#allowed(key, connection);
      const connected = connection.connect(address.host, address.port);
      this.#watches.set(connection, new SocketWatch(connection.socket, foreignToKafka));
      this.#options.wire?.attach(connection.socket);
      this.#keepTlsSession(connection, addressName(address));
      await connected;
      await this.#logIn(connection, key);
      this.#stood(key, connection);
    } catch (error) {
      const opened = this.#open.get(key);
      if (opened?.connection === connection) {
        this.#open.delete(key);
        end(opened);
      }
      if (this.#closed) throw closedError();
      // A login that is under way is told only that its connection closed; the socket said why.
      const cause = this.#socketErrors.get(connection) ?? error;
      this.#noteLate(cause, connection);
      throw connectionTrouble(cause, address, this.#options, this.#watches.get(connection));
    }
    return connection;
  }

  async #allowed(key: string, connection: Connection): Promise<void> {
    const worked = await this.#options.attempts?.take(this.#ended.signal);
    const opened = this.#open.get(key);
    if (this.#closed || opened?.connection !== connection) throw closedError();
    if (worked !== undefined) opened.worked = worked;
  }

  /** Nothing may be sent over one for records for long: where others were answered it is none in vain. */
  #stood(key: string, connection: Connection): void {
    const opened = this.#open.get(key);
    if (opened?.connection !== connection || opened.purpose !== 'records') return;
    if (this.#isAnswered) opened.worked();
    else this.#standing.push(opened);
  }

  async #logIn(connection: Connection, key: string): Promise<void> {
    const { sasl } = this.#options;
    if (sasl === undefined) return;
    const lastsMs = await logIn(connection, sasl);
    const opened = this.#open.get(key);
    if (lastsMs <= 0 || opened?.connection !== connection) return;
    opened.relogin = systemClock.after(lastsMs * MIRROR_LIMITS.kafkaReloginShare, () =>
      this.#renewLogin(opened, key),
    );
  }

  /** What is sent meanwhile waits, for the broker takes nothing else; what is under way does not matter. */
  #renewLogin(opened: Opened, key: string): void {
    const { connection, address } = opened;
    opened.ready = this.#logIn(connection, key).then(
      () => connection,
      (error: unknown) => {
        const trouble = connectionTrouble(error, address, this.#options);
        this.breakOff(trouble);
        throw trouble;
      },
    );
    opened.ready.catch(() => {}); // Told above.
  }

  #keepTlsSession(connection: Connection, name: string): void {
    const { socket } = connection as unknown as { socket?: TLSSocket };
    if (this.#options.tls === undefined) return;
    socket?.on('session', (session) => this.#tlsSessions?.set(name, session));
  }

  #answerMs(purpose: Purpose): number {
    const { requestTimeoutMs = KAFKA_DEFAULTS.requestTimeoutMs, recordTimeoutMs = 0 } =
      this.#options;
    return purpose === 'records' ? Math.max(requestTimeoutMs, recordTimeoutMs) : requestTimeoutMs;
  }

  #awaited(key: string, connection: Connection, more: 1 | -1): void {
    const known = this.#open.get(key);
    if (known?.connection === connection) known.awaited += more;
  }

  /** True when it was. What never came to stand says nothing of how long answers take. */
  #noteLate(error: unknown, connection: Connection): boolean {
    if (this.#closed || this.#watches.get(connection)?.stage !== 'open') return false;
    const isLate = [...causesOf(error)].some((cause) => cause instanceof TimeoutError);
    if (isLate) this.#patience?.noteLate();
    return isLate;
  }

  #answered(key: string, connection: Connection): void {
    this.onAnswer();
    this.#isAnswered = true;
    for (const { worked } of this.#standing.splice(0)) worked();
    const known = this.#open.get(key);
    if (known?.connection !== connection) return;
    if (!known.used) known.worked();
    known.used = true;
  }

  #broke(key: string, connection: Connection, error: Error | undefined): void {
    const known = this.#open.get(key);
    if (this.#closed || known?.connection !== connection) return;
    this.#open.delete(key);
    known.relogin?.cancel();
    // Its status is no help here: the library calls a failed connect an error before it says so.
    if (!known.used) return;
    const reason = error === undefined ? 'the broker closed the connection' : messageOf(error);
    this.#onBroken(
      new GatelogError(
        'UPSTREAM_UNREACHABLE',
        `Lost the connection to Kafka at ${addressName(known.address)}: ${reason}`,
        {
          cause: error,
        },
      ),
    );
  }
}

const PURPOSES: readonly Purpose[] = ['requests', 'records'];

function keyOf(address: Address, purpose: Purpose): string {
  return `${addressName(address)} ${purpose}`;
}

function end({ connection, relogin }: Opened): void {
  const { socket } = connection as unknown as { socket?: { destroy(): void } };
  relogin?.cancel();
  connection.close(() => {});
  socket?.destroy();
}

/** Names the broker to the far side (SNI) unless it is known by a number only (RFC 6066). */
function tlsFor(
  options: KafkaConnection,
  host: string,
  session: Buffer | undefined,
): Pick<ConnectionOptions, 'tls' | 'tlsServerName'> {
  if (options.tls === undefined) return {};
  const name = options.tls.servername ?? (isIP(host) === 0 ? host : undefined);
  const own = tlsOptions(options.tls);
  const tls = session === undefined ? own : { ...own, session };
  return name === undefined ? { tls } : { tls, tlsServerName: name };
}

function closedError(): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', 'The session with Kafka was closed');
}
