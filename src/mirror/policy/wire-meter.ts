// oxlint-disable no-underscore-dangle -- these are Node's and ws's names for what stands below a stream
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AskKernel, KernelCounts } from './kernel-sockets.ts';
import { paceWrites } from './paced-writes.ts';
import type { TokenBucket } from './token-bucket.ts';
import { ENDING_BYTES, OPENING_BYTES, type StreamCount, wireBytes } from './wire-model.ts';

/** Where a far side's connections are handed over as soon as they are made. */
export interface Wire {
  attach(stream: Duplex): void;
}

export interface WireMeterOptions {
  readonly bucket: TokenBucket;
  readonly askKernel: AskKernel;
  /** A connection stands: the way to the far side may be another. */
  readonly onConnected: (ends: ConnectionEnds) => void;
}

export interface ConnectionEnds {
  readonly localAddress: string;
  readonly remoteAddress: string;
}

/**
 * Counts the bytes of all connections of one mirror on the wire, both ways, with the headers of TCP
 * and IP, TLS and whatever the kernel sends again. The kernel's own counts are the truth where it is
 * asked; what went by since is reckoned from what the stream carried.
 */
export class WireMeter implements Wire {
  readonly #options: WireMeterOptions;
  readonly #open = new Set<Connection>();
  #endedBytes = 0;
  /** Of connections whose counts are known: what the kernel said, and what was reckoned for them. */
  #told = 0;
  #reckoned = 0;
  /** What the bucket gave for writes since that was asked last. */
  #paid = 0;
  /** The kernel has answered. */
  isTold: boolean = false;

  constructor(options: WireMeterOptions) {
    this.#options = options;
  }

  attach(stream: Duplex): void {
    const { bucket, onConnected } = this.#options;
    const connection = new Connection(stream);
    this.#open.add(connection);
    const onWrite = (bytes: number): void => {
      connection.wrote(bytes);
      if (bucket.bitsPerSecond !== undefined) this.#paid += this.#costOf(bytes);
    };
    paceWrites(stream, bucket, onWrite, (bytes) => this.#costOf(bytes));
    stream.once('connect', () => {
      const ends = connection.learnEnds();
      if (ends !== undefined) onConnected(ends);
    });
    stream.once('close', () => {
      connection.end();
      this.#open.delete(connection);
      this.#endedBytes += connection.bytes(this.#ratio);
    });
  }

  /** Since this mirror began. It may go back a little when the kernel tells what was reckoned. */
  get bytes(): number {
    let bytes = this.#endedBytes;
    for (const connection of this.#open) bytes += connection.bytes(this.#ratio);
    return bytes;
  }

  /** What writes took from the bucket since the last call. */
  paidBytes(): number {
    const paid = this.#paid;
    this.#paid = 0;
    return paid;
  }

  get ends(): readonly ConnectionEnds[] {
    return [...this.#open].flatMap(({ ends }) => (ends === undefined ? [] : [ends]));
  }

  /** Never rejects. */
  async askKernel(): Promise<void> {
    const asked = [...this.#open].filter((connection) => connection.learnEnds() !== undefined);
    const localPorts = asked.flatMap(({ ports }) => (ports === undefined ? [] : [ports.local]));
    const counts = await this.#options.askKernel(localPorts);
    if (counts !== undefined) this.#learn(asked, counts);
  }

  #learn(asked: readonly Connection[], counts: KernelCounts): void {
    for (const connection of asked) {
      const { ports } = connection;
      const count = ports === undefined ? undefined : counts.get(`${ports.local}:${ports.remote}`);
      if (count === undefined || connection.isEnded) continue;
      const { told, reckoned } = connection.learn(count.sentBytes + count.receivedBytes);
      this.#told += told;
      this.#reckoned += reckoned;
      this.isTold = true;
    }
  }

  /** How far off the reckoning has been. */
  get #ratio(): number {
    if (this.#reckoned <= 0 || this.#told <= 0) return 1;
    return Math.min(Math.max(this.#told / this.#reckoned, 0.5), 3);
  }

  /** Of a piece of a write; what it turns out to be is charged when it is known. */
  #costOf(bytes: number): number {
    return wireBytes({ sentBytes: bytes, receivedBytes: 0, writes: 1 });
  }
}

const NOTHING_CARRIED: StreamCount = { sentBytes: 0, receivedBytes: 0, writes: 0 };

interface Ports {
  readonly local: number;
  readonly remote: number;
}

class Connection {
  readonly #stream: Duplex;
  ends: ConnectionEnds | undefined;
  ports: Ports | undefined;
  isEnded = false;
  #writes = 0;
  /** Handed to the stream below `_write`: what it counts itself includes what still waits. */
  #written = 0;
  /** TLS puts more on the wire than was written: as last seen. */
  #extra = { sentBytes: 0, receivedBytes: 0 };
  /** What the kernel told, and what had been carried then. */
  #told = 0;
  #toldAt: StreamCount = NOTHING_CARRIED;
  #isTold = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  wrote(bytes: number): void {
    this.#writes++;
    this.#written += bytes;
  }

  learnEnds(): ConnectionEnds | undefined {
    const { localAddress, localPort, remoteAddress, remotePort } = socketOf(this.#stream) ?? {};
    if (localPort === undefined || remotePort === undefined) return undefined;
    this.ports = { local: localPort, remote: remotePort };
    if (localAddress === undefined || remoteAddress === undefined) return undefined;
    this.ends = { localAddress, remoteAddress };
    return this.ends;
  }

  /** What the kernel told now beyond what it had before, and what was reckoned for that. */
  learn(told: number): { readonly told: number; readonly reckoned: number } {
    const news = { told: told - this.#told, reckoned: this.#reckonedSince() };
    this.#told = told;
    this.#toldAt = this.#carried();
    this.#isTold = true;
    return news;
  }

  bytes(ratio: number): number {
    const ending = this.isEnded ? ENDING_BYTES : 0;
    return this.#told + this.#reckonedSince() * ratio + ending;
  }

  /** For what was carried since the kernel told. */
  #reckonedSince(): number {
    const { sentBytes, receivedBytes, writes } = this.#carried();
    const stretch = {
      sentBytes: sentBytes - this.#toldAt.sentBytes,
      receivedBytes: receivedBytes - this.#toldAt.receivedBytes,
      writes: writes - this.#toldAt.writes,
    };
    return wireBytes(stretch) + (this.#isTold ? 0 : OPENING_BYTES);
  }

  end(): void {
    this.#carried();
    this.isEnded = true;
  }

  #carried(): StreamCount {
    const stream = socketOf(this.#stream);
    const plain = { sentBytes: this.#written, receivedBytes: stream?.bytesRead ?? 0 };
    const raw = stream === undefined ? undefined : underTls(stream);
    if (raw !== undefined) {
      this.#extra = {
        sentBytes: Math.max(0, raw.bytesWritten - plain.sentBytes),
        receivedBytes: Math.max(0, raw.bytesRead - plain.receivedBytes),
      };
    }
    return {
      sentBytes: plain.sentBytes + this.#extra.sentBytes,
      receivedBytes: plain.receivedBytes + this.#extra.receivedBytes,
      writes: this.#writes,
    };
  }
}

/** The socket below a stream of a WebSocket, or the stream itself. */
function socketOf(stream: Duplex): Socket | undefined {
  if (stream instanceof Socket) return stream;
  const below = (stream as { readonly socket?: unknown }).socket as
    | { readonly _socket?: unknown }
    | undefined;
  return below?._socket instanceof Socket ? below._socket : undefined;
}

interface RawCounts {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/**
 * The TCP handle below a TLS socket, whose counts Node gives no public way to. Where a release of it
 * has none, TLS's own bytes come with what the kernel tells.
 */
function underTls(socket: Socket): RawCounts | undefined {
  const { _handle: handle } = socket as {
    readonly _handle?: { readonly _parent?: RawCounts } | null;
  };
  const raw = handle?._parent;
  return typeof raw?.bytesWritten === 'number' && typeof raw.bytesRead === 'number'
    ? raw
    : undefined;
}
