import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { assert } from '../assert.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';

/* oxlint-disable no-underscore-dangle -- these are the library's own names, used here only */

/**
 * What `ws` 8.23.0 (pinned) holds of a message that has not come whole: bytes of a frame, and
 * frames before it. It does not tell; these inner parts do.
 */
interface Receiver {
  readonly _bufferedBytes: number;
  readonly _buffers: readonly unknown[];
  readonly _messageLength: number;
  readonly _fragments: readonly unknown[];
}

/** Bounds what is held of messages that have not come whole, of all WebSockets together. */
export class HeldMessages {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number = LISTEN_LIMITS.webSocketHeldBytes) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `overrun`: this one wants more when there is no more. */
  watch(webSocket: WebSocket, socket: Socket, overrun: () => void): void {
    const receiver = (webSocket as unknown as { readonly _receiver: Receiver })._receiver;
    assert(Array.isArray(receiver._buffers), 'a WebSocket has a receiver with buffers');
    assert(Array.isArray(receiver._fragments), 'a WebSocket has a receiver with fragments');
    assert(typeof receiver._bufferedBytes === 'number', 'the receiver counts what it buffers');
    assert(typeof receiver._messageLength === 'number', 'the receiver counts its message');
    let mine = 0;
    const count = (now: number): void => {
      this.#bytes += now - mine;
      mine = now;
    };
    // The library's own listener was there first, so it has taken out what was whole.
    const look = (): void => {
      const before = mine;
      const parts = receiver._buffers.length + receiver._fragments.length;
      const bytes = receiver._bufferedBytes + receiver._messageLength;
      count(bytes + parts * LISTEN_LIMITS.chunkBytes);
      if (mine > before && this.#bytes > this.#maxBytes) overrun();
    };
    socket.on('data', look);
    socket.once('close', () => {
      socket.off('data', look);
      count(0);
    });
  }
}
