import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { messageOf } from '../errors.ts';
import { createServer } from '../http.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import { isLoopback } from './listen-address.ts';
import type { DeviceStream } from './broker-door.ts';
import { HeldMessages } from './broker-websocket-held.ts';
import { WebSocketStream } from './broker-websocket-stream.ts';

/** Names of MQTT as a WebSocket's subprotocol; the second one is of 3.1. */
const SUBPROTOCOLS = ['mqtt', 'mqttv3.1'];

export interface WebSocketDoorOptions {
  readonly path: string;
  /** Any web page that a browser on this machine shows could come in otherwise. */
  readonly onlyLocalPages: boolean;
  /** The same for all listeners of a broker. */
  readonly held: HeldMessages;
  readonly take: (stream: DeviceStream) => void;
  /** A peer that is turned away, before it was one of MQTT. */
  readonly refuse: (socket: Socket, why: string) => void;
  /** A peer of MQTT that broke the rules of WebSockets. */
  readonly violated: (stream: DeviceStream, why: string) => void;
}

/** What `ws` 8.23 takes, and its types do not know yet. */
interface CloseTimeout {
  readonly closeTimeout: number;
}

/** MQTT over WebSockets (MQTT 5, section 6), on sockets that something else accepted. */
export class WebSocketDoor {
  readonly #options: WebSocketDoorOptions;
  readonly #http: Server;
  readonly #upgrades: WebSocketServer;

  constructor(options: WebSocketDoorOptions) {
    this.#options = options;
    const settings: ServerOptions & CloseTimeout = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: LISTEN_LIMITS.webSocketMessageBytes,
      maxFragments: LISTEN_LIMITS.webSocketFragments,
      maxBufferedChunks: LISTEN_LIMITS.webSocketFragments,
      closeTimeout: LISTEN_LIMITS.webSocketCloseMs,
      handleProtocols: (offered) => SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
    };
    this.#upgrades = new WebSocketServer(settings);
    const http = { maxHeaderSize: LISTEN_LIMITS.httpHeaderBytes };
    this.#http = createServer(http, ({ socket }, response) => {
      options.refuse(socket, 'no WebSocket: a web page was asked for');
      response.writeHead(426, { 'content-type': 'text/plain', connection: 'close' });
      response.end('This is MQTT over WebSocket, not a web page.\n');
    });
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#http.on('clientError', (error, socket) => {
      options.refuse(socket as Socket, `no WebSocket: ${messageOf(error)}`);
      socket.destroy();
    });
  }

  accept(socket: Socket): void {
    this.#http.emit('connection', socket);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const trouble = this.#troubleOf(request);
    if (trouble !== undefined) {
      this.#options.refuse(socket as Socket, `no WebSocket: ${trouble.text}`);
      socket.on('error', () => {});
      socket.end(
        `HTTP/1.1 ${trouble.status}\r\nconnection: close\r\ncontent-type: text/plain\r\n` +
          `content-length: ${trouble.text.length + 1}\r\n\r\n${trouble.text}\n`,
        () => socket.destroy(),
      );
      return;
    }
    this.#upgrades.handleUpgrade(request, socket, head, (webSocket) => {
      this.#take(webSocket, socket as Socket);
    });
  }

  #take(webSocket: WebSocket, socket: Socket): void {
    const { held, take, violated } = this.#options;
    const stream = new WebSocketStream(webSocket, socket, (why) => violated(stream, why));
    held.watch(webSocket, socket, () => stream.overrun());
    take(stream);
  }

  #troubleOf({ url, headers }: IncomingMessage): { status: string; text: string } | undefined {
    const [path = ''] = (url ?? '').split('?');
    if (withoutSlash(path) !== withoutSlash(this.#options.path)) {
      return { status: '404 Not Found', text: `MQTT is at ${this.#options.path}` };
    }
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (!offered.some((name) => SUBPROTOCOLS.includes(name))) {
      return { status: '400 Bad Request', text: 'the subprotocol mqtt is not offered' };
    }
    if (this.#options.onlyLocalPages && !isLocalPage(headers.origin)) {
      return {
        status: '403 Forbidden',
        text: 'a page from elsewhere may not come in without credentials',
      };
    }
    return undefined;
  }
}

/** Browsers always say where a page is from, and programs seldom do. */
function isLocalPage(origin: string | undefined): boolean {
  if (origin === undefined) return true;
  const host = URL.parse(origin)?.hostname ?? '';
  return isLoopback(host.replace(/^\[(.*)\]$/u, '$1'));
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/u, '');
}
