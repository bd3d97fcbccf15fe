import { createServer, connect, type Server, type Socket } from 'node:net';
import { GatelogError, messageOf } from '../../errors.ts';
import { resetSocket } from './reset-socket.ts';

/**
 * - `up`: bytes flow.
 * - `cut`: open connections are reset, new ones too, as when the far end's network answers no.
 * - `black-hole`: nothing is refused and nothing arrives, as when a radio link fades. Bytes wait in
 *   the sockets (TCP would send them again), so they flow on when the link is back in time.
 */
export type LinkState = 'up' | 'cut' | 'black-hole';

interface Pair {
  readonly near: Socket;
  /** Made when the link lets the connection through. */
  far: Socket | undefined;
}

/** A plain TCP proxy that stands between the mirror and the central, and can be broken. */
export class Link {
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #state: LinkState = 'up';
  #bytesUp = 0;
  #bytesDown = 0;

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.#targetPort = targetPort;
    server.on('connection', (socket: Socket) => this.#accept(socket));
  }

  /** Listens on a free loopback port and forwards to `targetPort` on loopback. */
  static async open(targetPort: number): Promise<Link> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(
          new GatelogError('LISTEN_FAILED', `the demo's link cannot listen: ${messageOf(error)}`),
        ),
      );
      server.listen(0, '127.0.0.1', resolve);
    });
    return new Link(server, targetPort);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Bytes from the edge to the central. */
  get bytesUp(): number {
    return this.#bytesUp;
  }

  get bytesDown(): number {
    return this.#bytesDown;
  }

  set(state: LinkState): void {
    this.#state = state;
    for (const pair of this.#pairs) this.#apply(pair);
  }

  async close(): Promise<void> {
    this.set('cut');
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #accept(near: Socket): void {
    const pair: Pair = { near, far: undefined };
    this.#pairs.add(pair);
    near.pause();
    near.on('data', (bytes: Buffer) => {
      this.#bytesUp += bytes.length;
      if (pair.far?.write(bytes) === false) near.pause();
    });
    near.on('end', () => pair.far?.end());
    near.on('error', () => this.#drop(pair));
    near.on('close', () => this.#drop(pair));
    near.on('drain', () => this.#apply(pair));
    this.#apply(pair);
  }

  #apply(pair: Pair): void {
    if (this.#state === 'cut') {
      this.#drop(pair);
    } else if (this.#state === 'black-hole') {
      pair.near.pause();
      pair.far?.pause();
    } else if (pair.far === undefined) {
      pair.far = this.#reach(pair);
    } else if (!pair.far.connecting) {
      pair.near.resume();
      pair.far.resume();
    }
  }

  #reach(pair: Pair): Socket {
    const far = connect({
      port: this.#targetPort,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    });
    far.pause();
    far.on('connect', () => this.#apply(pair));
    far.on('data', (bytes: Buffer) => {
      this.#bytesDown += bytes.length;
      if (!pair.near.write(bytes)) far.pause();
    });
    far.on('end', () => pair.near.end());
    far.on('error', () => this.#drop(pair));
    far.on('close', () => this.#drop(pair));
    far.on('drain', () => this.#apply(pair));
    return far;
  }

  #drop(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return;
    resetSocket(pair.near);
    if (pair.far !== undefined) resetSocket(pair.far);
  }
}
