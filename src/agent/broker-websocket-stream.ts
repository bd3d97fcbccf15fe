import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { DeviceStream } from './broker-door.ts';

/** RFC 6455, section 7.4.1. */
const CLOSE = { normal: 1000, unsupported: 1003, tryLater: 1013 } as const;

/**
 * A WebSocket as a stream of bytes: binary messages only, whose bounds mean nothing [MQTT-6.0.0-1,
 * MQTT-6.0.0-2]. A reader that does not read stops the socket, and a peer that does not read holds up
 * the writer; so one message at most is held each way.
 */
export class WebSocketStream extends Duplex implements DeviceStream {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly beneath: Socket;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly #webSocket: WebSocket;
  readonly #violated: (why: string) => void;
  #closeCode: number = CLOSE.normal;

  constructor(webSocket: WebSocket, socket: Socket, violated: (why: string) => void) {
    super({ allowHalfOpen: false });
    this.remoteAddress = socket.remoteAddress;
    this.remotePort = socket.remotePort;
    this.beneath = socket;
    this.localAddress = socket.localAddress;
    this.localPort = socket.localPort;
    this.#webSocket = webSocket;
    this.#violated = violated;
    webSocket.on('message', (data, isBinary) => this.#take(data, isBinary));
    webSocket.on('error', (error) => this.#failed(error.message));
    webSocket.once('close', () => this.#closed());
  }

  /** More than may be held of messages that have not come whole. */
  overrun(): void {
    this.#break(CLOSE.tryLater, 'too many unfinished WebSocket messages');
  }

  override _read(): void {
    if (this.#webSocket.isPaused) this.#webSocket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#webSocket.send(chunk, { binary: true }, done);
  }

  /** What gathered while the peer did not read goes as one message. */
  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk));
    this.#webSocket.send(bytes, { binary: true }, done);
  }

  override _final(done: () => void): void {
    this.#close();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#close();
    done(error);
  }

  /** The library ends the socket when the peer does not answer in time. */
  #close(): void {
    this.#webSocket.close(this.#closeCode);
    // The peer's answer must be read, and what comes before it is thrown away.
    if (this.destroyed && this.#webSocket.isPaused) this.#webSocket.resume();
  }

  #take(data: RawData, isBinary: boolean): void {
    if (this.destroyed || this.readableEnded) return;
    if (!isBinary) this.#break(CLOSE.unsupported, 'a text frame came; MQTT is in binary ones');
    else if (!this.push(data)) this.#webSocket.pause();
  }

  /** The library has said why to the peer. */
  #failed(why: string): void {
    if (this.destroyed) return;
    this.#violated(why);
    this.destroy();
  }

  #break(closeCode: number, why: string): void {
    if (this.destroyed) return;
    this.#closeCode = closeCode;
    this.#failed(why);
  }

  /** What was read before is still handed on. */
  #closed(): void {
    if (!this.destroyed) this.push(null);
  }
}
