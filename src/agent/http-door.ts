import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Server as SecureServer } from 'node:https';
import type { CertificateStatus } from '../admin/certificate-status.ts';
import type { HttpApp } from '../admin/http-server.ts';
import type { HttpStatus } from '../admin/status.ts';
import { messageOf, systemCodeOf } from '../errors.ts';
import { HTTP_LIMITS } from '../http-limits.ts';
import { createSecureServer, createServer } from '../http.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import { Certificates } from './broker-certificates.ts';
import type { HttpConfig } from './config-types.ts';
import { formatHttpAddress, type HttpAddress, parseHttpAddress } from './http-address.ts';

export interface HttpDoorOptions {
  readonly config: HttpConfig;
  /** Asked for when the first request comes: it takes memory. */
  readonly load: () => Promise<HttpApp>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What an HTTP server is given here, with or without TLS. */
const SERVER_OPTIONS = {
  maxHeaderSize: HTTP_LIMITS.headerBytes,
  headersTimeout: HTTP_LIMITS.headersMs,
  requestTimeout: HTTP_LIMITS.requestMs,
  keepAliveTimeout: HTTP_LIMITS.keepAliveMs,
  connectionsCheckingInterval: HTTP_LIMITS.checkMs,
  // Who is gone without a word while an answer has nothing to send.
  keepAlive: true,
  keepAliveInitialDelay: HTTP_LIMITS.probeMs,
  noDelay: true,
} as const;

/**
 * The sockets of the HTTP side. An address that can't be listened on (taken, its certificate missing, its
 * network not there yet) is said once and tried again: it is no reason not to serve devices.
 */
export class HttpDoor {
  readonly #options: HttpDoorOptions;
  readonly #certificates: Certificates;
  readonly #listeners = new Map<string, { readonly server: Server; readonly url: string }>();
  readonly #troubles = new Map<string, string>();
  /** Those in a handshake, too, which the server does not count as its own. */
  readonly #sockets = new Set<Socket>();
  /** Requests of a connection that came before the answers to those before them were sent. */
  readonly #waiting = new WeakMap<Socket, number>();
  #app: Promise<HttpApp> | undefined;
  #timer: Timer | undefined;
  #trying: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: HttpDoorOptions) {
    this.#options = options;
    this.#certificates = new Certificates(options.clock, options.logger);
  }

  /** Resolves when every address was tried. Never rejects. */
  async open(): Promise<void> {
    const { config, logger } = this.#options;
    this.#trying = this.#listenOnAll();
    await this.#trying;
    const { listeners } = this.status();
    if (config.listen.length === 0 || listeners.length === 0) return;
    logger.info({ event: 'http.listening', listeners }, `status and API: ${listeners.join(', ')}`);
  }

  status(): HttpStatus {
    const { listen } = this.#options.config;
    const taken = listen.flatMap((url) => this.#listeners.get(url)?.url ?? []);
    const troubles = [...this.#troubles.values()];
    return { listeners: taken, trouble: troubles.length === 0 ? null : troubles.join('; ') };
  }

  certificates(): readonly CertificateStatus[] {
    return this.#certificates.status();
  }

  /** Looks at the certificate's files now. Never rejects. */
  look(): Promise<void> {
    return this.#certificates.look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#certificates.stop();
    const closed = [...this.#listeners.values()].map(({ server }) => closeServer(server));
    await this.#app?.then(
      (app) => app.stop(),
      () => {},
    );
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  async #listenOnAll(): Promise<void> {
    const { config, clock } = this.#options;
    for (const url of config.listen) {
      if (this.#listeners.has(url) || this.#stopped) continue;
      await this.#listenOn(url);
    }
    if (this.#troubles.size === 0 || this.#stopped) return;
    this.#timer = clock.after(HTTP_LIMITS.listenRetryMs, () => {
      this.#trying = this.#listenOnAll();
    });
  }

  async #listenOn(url: string): Promise<void> {
    const { logger } = this.#options;
    const address = parseHttpAddress(url);
    if (address === undefined) return;
    try {
      const server = await this.#serverOf(address);
      await bind(server, address);
      if (this.#stopped) {
        await closeServer(server);
        return;
      }
      const taken = formatHttpAddress({ ...address, port: portOf(server) });
      this.#watchCertificate(address, taken, server);
      this.#listeners.set(url, { server, url: taken });
      if (this.#troubles.delete(url)) {
        logger.info({ event: 'http.listening', listeners: [taken] }, `status and API: ${taken}`);
      }
    } catch (error) {
      const trouble = `can't listen on ${url}: ${reasonOf(error)}`;
      const isNews = this.#troubles.get(url) !== trouble;
      this.#troubles.set(url, trouble);
      const rest = 'devices are served all the same, and it is tried again';
      if (isNews) logger.warn({ event: 'http.unavailable', url }, `${trouble}; ${rest}`);
    }
  }

  /** Throws LISTEN_FAILED for a certificate that can't be used. */
  async #serverOf(address: HttpAddress): Promise<Server> {
    const { tls } = this.#options.config;
    const { isLocal } = address;
    const server =
      address.secure && tls !== undefined
        ? createSecureServer({
            ...SERVER_OPTIONS,
            handshakeTimeout: HTTP_LIMITS.headersMs,
            ...(await this.#certificates.load(tls)),
          })
        : createServer(SERVER_OPTIONS);
    server.maxConnections = HTTP_LIMITS.connections;
    server.timeout = HTTP_LIMITS.slowReaderMs;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void this.#answer(request, response, isLocal);
    });
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('clientError', (error: Error, socket: Socket) => refuse(error, socket));
    return server;
  }

  #watchCertificate({ secure }: HttpAddress, taken: string, server: Server): void {
    const { tls } = this.#options.config;
    if (!secure || tls === undefined) return;
    this.#certificates.watch(tls, taken, (options) => {
      (server as SecureServer).setSecureContext(options);
    });
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    isLocal: boolean,
  ): Promise<void> {
    try {
      if (response.socket === null) await this.#turnOf(request, response);
      this.#app ??= this.#options.load();
      const app = await this.#app;
      // Loading takes a while: who left meanwhile is not told of by the response any more.
      if (response.destroyed || request.socket.destroyed) return;
      response.on('timeout', () => {
        if (!app.isPatient(response)) response.destroy();
      });
      app.handle(request, response, { isLocal });
    } catch (error) {
      this.#app = undefined;
      const text = `requests over HTTP can't be answered: ${messageOf(error)}`;
      this.#options.logger.error({ event: 'http.failed', error: messageOf(error) }, text);
      response.writeHead(500).end();
    }
  }

  /**
   * The connection's: a request that is sent behind another (pipelined) is answered when its turn comes, for
   * answers that wait for their turn would wait in memory, as many and as large as whoever asks likes. Never
   * resolves for a connection that ends before.
   */
  async #turnOf({ socket }: IncomingMessage, response: ServerResponse): Promise<void> {
    const waiting = (this.#waiting.get(socket) ?? 0) + 1;
    this.#waiting.set(socket, waiting);
    if (waiting > HTTP_LIMITS.pipelined) socket.destroy();
    await new Promise<unknown>((resolve) => void response.once('socket', resolve));
    this.#waiting.set(socket, (this.#waiting.get(socket) ?? 1) - 1);
  }
}

function bind(server: Server, { host, port }: HttpAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject);
      // As when there are no file descriptors left: the connection is lost, and nothing else.
      server.on('error', () => {});
      resolve();
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function reasonOf(error: unknown): string {
  const code = systemCodeOf(error);
  if (code === 'EADDRINUSE') {
    return 'another program has this port (http.listen names another, http: false none)';
  }
  if (code === 'EACCES') return 'this user may not use this port';
  if (code === 'EADDRNOTAVAIL') return 'this machine does not have this address at present';
  return messageOf(error);
}

/** What comes is no HTTP, or too much of it, or too slow: with RFC 9457 as everything else. */
function refuse(error: Error, socket: Socket): void {
  const [status, code, title] = REFUSALS[systemCodeOf(error) ?? ''] ?? UNREADABLE;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const detail = `${title}: ${messageOf(error)}`;
  const body = JSON.stringify({ type: 'about:blank', title, status, detail, code });
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const UNREADABLE = [400, 'BAD_REQUEST', 'Bad Request'] as const;
const REFUSALS: Readonly<Record<string, readonly [number, string, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'TOO_LARGE', 'Request Header Fields Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'TIMEOUT', 'Request Timeout'],
};

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}
