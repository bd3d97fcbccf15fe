import { connect, createServer, type Server, type Socket } from 'node:net';
import { resetSocket } from '../../src/cli/demo/reset-socket.ts';
import {
  type Frame,
  FrameScanner,
  REQUEST_HEAD_BYTES,
  type RequestHeader,
  requestHeader,
  RESPONSE_HEAD_BYTES,
  responseCorrelationId,
} from './kafka/frames.ts';
import type { ArmedCut, CutPoint, KafkaRequests } from './kafka/requests.ts';
import { type Passed, Pipe, type Shape } from './tcp-pipe.ts';

/**
 * A TCP proxy that breaks links on purpose.
 *
 * - `open`: forwards.
 * - `refuse`: nothing listens; connections that there are get reset.
 * - `silent`: connections stay open (new ones too) and carry nothing, either way. Back in `open`
 *   what was under way arrives, late.
 */
export type LinkMode = 'open' | 'refuse' | 'silent';

export interface ProxyOptions {
  readonly targetPort: number;
  /** Default: any free port. */
  readonly listenPort?: number;
  /** Default: loopback. */
  readonly listenHost?: string;
  /** For a Kafka listener without TLS: counts requests and cuts some. */
  readonly requests?: KafkaRequests;
  /** Likewise: is told of every request and answer. */
  readonly witness?: LinkWitness;
}

/** `link` stands for one connection. */
export interface LinkWitness {
  opened(link: object): void;
  /** It has come from the client. */
  request(link: object, apiKey: number, correlationId: number): void;
  /** Its answer has gone on to the client. */
  answered(link: object, correlationId: number): void;
}

export class TcpProxy {
  readonly #target: number;
  readonly #host: string;
  readonly #requests: KafkaRequests | undefined;
  readonly #witness: LinkWitness | undefined;
  #server: Server;
  #port: number;
  #mode: LinkMode = 'open';
  #shape: Shape = {};
  readonly #links = new Set<Link>();

  constructor(options: ProxyOptions) {
    this.#target = options.targetPort;
    this.#host = options.listenHost ?? '127.0.0.1';
    this.#port = options.listenPort ?? 0;
    this.#requests = options.requests;
    this.#witness = options.witness;
    this.#server = this.#newServer();
  }

  get port(): number {
    return this.#port;
  }

  get mode(): LinkMode {
    return this.#mode;
  }

  /** Connections at this moment. */
  get connections(): number {
    return this.#links.size;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, this.#host, () => {
        const address = this.#server.address();
        if (address !== null && typeof address === 'object') this.#port = address.port;
        resolve();
      });
    });
  }

  #newServer(): Server {
    return createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  #accept(client: Socket): void {
    const link = new Link(client, this.#target, this.#requests, this.#witness);
    this.#links.add(link);
    link.closed.then(() => this.#forget(link)).catch(() => {});
    link.shape(this.#shape);
    if (this.#mode === 'silent') link.hold();
    if (this.#mode === 'refuse') link.reset();
  }

  #forget(link: Link): void {
    this.#links.delete(link);
    if (link.unmet !== undefined) this.#requests?.again(link.unmet);
  }

  async setMode(mode: LinkMode): Promise<void> {
    const before = this.#mode;
    this.#mode = mode;
    if (mode === 'refuse') {
      const gone = new Promise<void>((resolve) => {
        this.#server.close(() => resolve());
      });
      this.resetAll();
      if (before !== 'refuse') await gone;
      return;
    }
    if (before === 'refuse') {
      this.#server = this.#newServer();
      await this.listen();
    }
    for (const link of this.#links) {
      if (mode === 'silent') link.hold();
      else link.release();
    }
  }

  /** Latency and bandwidth, each way, for connections there are and to come. */
  setShape(shape: Shape): void {
    this.#shape = shape;
    for (const link of this.#links) link.shape(shape);
  }

  /** RST to both sides of every connection. */
  resetAll(): void {
    for (const link of this.#links) link.reset();
  }

  /** The far sides are gone, the near sides never hear of it: open, and silent for ever. */
  halfOpenAll(): void {
    for (const link of this.#links) link.halfOpen();
  }

  async close(): Promise<void> {
    await this.setMode('refuse');
    await Promise.all([...this.#links].map((link) => link.closed));
  }
}

export async function startTcpProxy(options: ProxyOptions): Promise<TcpProxy> {
  const proxy = new TcpProxy(options);
  await proxy.listen();
  return proxy;
}

interface Hit {
  readonly cut: ArmedCut;
  readonly request: RequestHeader;
}

/** One connection through the proxy. */
class Link {
  readonly closed: Promise<unknown>;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #up: Pipe;
  readonly #down: Pipe;
  readonly #requests: KafkaRequests | undefined;
  readonly #witness: LinkWitness | undefined;
  readonly #upFrames = new FrameScanner(REQUEST_HEAD_BYTES);
  readonly #downFrames = new FrameScanner(RESPONSE_HEAD_BYTES);
  #upBytes = 0;
  #downBytes = 0;
  /** Set once and for good: what either side sends from now on is thrown away. */
  #dead = false;
  /** The request whose response is not to arrive. */
  #awaited: Hit | undefined;

  constructor(
    client: Socket,
    targetPort: number,
    requests: KafkaRequests | undefined,
    witness: LinkWitness | undefined,
  ) {
    this.#requests = requests;
    this.#witness = witness;
    witness?.opened(this);
    this.#client = client;
    this.#server = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    this.#server.setNoDelay(true);
    this.#up = new Pipe(client, this.#server, (piece) => this.#inspect(piece, 'up'));
    this.#down = new Pipe(this.#server, client, (piece) => this.#inspect(piece, 'down'));
    client.on('error', () => this.reset());
    client.once('end', () => {
      if (this.#dead) this.reset();
    });
    this.#server.on('error', () => {
      if (!this.#dead) this.reset();
    });
    this.closed = allClosed([client, this.#server]);
  }

  /** The cut that still waits for its response. */
  get unmet(): ArmedCut | undefined {
    return this.#awaited?.cut;
  }

  shape(shape: Shape): void {
    this.#up.shape(shape, 'up');
    this.#down.shape(shape, 'down');
  }

  hold(): void {
    if (this.#dead) return;
    this.#up.hold();
    this.#down.hold();
  }

  release(): void {
    this.#up.release();
    this.#down.release();
  }

  reset(): void {
    this.#dead = true;
    resetSocket(this.#client);
    resetSocket(this.#server);
  }

  halfOpen(): void {
    this.#die();
    resetSocket(this.#server);
  }

  #die(): void {
    this.#dead = true;
    this.release(); // reading goes on, so that the client's own end is noticed
  }

  #inspect(piece: Buffer | undefined, way: 'up' | 'down'): Passed | undefined {
    if (this.#dead) return undefined;
    if (piece === undefined || this.#requests === undefined) return { data: piece };
    return way === 'up' ? this.#inspectUp(piece, this.#requests) : this.#inspectDown(piece);
  }

  #inspectUp(chunk: Buffer, requests: KafkaRequests): Passed {
    const begin = this.#upBytes;
    this.#upBytes += chunk.length;
    for (const frame of this.#upFrames.scan(chunk)) {
      const request = requestHeader(frame);
      this.#witness?.request(this, request.apiKey, request.correlationId);
      const cut = requests.saw(request, this.#awaited === undefined);
      if (cut === undefined) continue;
      if (cut.where === 'response') this.#awaited = { cut, request };
      else return this.#cutAt(cutOffset(frame, cut) - begin, chunk, { cut, request });
    }
    return { data: chunk };
  }

  #inspectDown(chunk: Buffer): Passed {
    const begin = this.#downBytes;
    this.#downBytes += chunk.length;
    const answers: number[] = [];
    for (const frame of this.#downFrames.scan(chunk)) {
      answers.push(responseCorrelationId(frame));
      const hit = this.#awaited;
      if (hit === undefined || hit.cut.cancelled) continue;
      if (responseCorrelationId(frame) !== hit.request.correlationId) continue;
      this.#awaited = undefined;
      return this.#cutAt(frame.start - begin, chunk, hit);
    }
    const witness = this.#witness;
    if (witness === undefined) return { data: chunk };
    return { data: chunk, written: () => answers.forEach((id) => witness.answered(this, id)) };
  }

  /** Lets `bytes` of the chunk through, then nothing more either way. */
  #cutAt(bytes: number, chunk: Buffer, { cut, request }: Hit): Passed {
    this.#dead = true;
    return {
      data: chunk.subarray(0, Math.max(0, bytes)),
      written: () => {
        if (cut.how === 'silent') this.#die();
        else this.reset();
        cut.resolve(request);
      },
    };
  }
}

function cutOffset(frame: Frame, cut: CutPoint): number {
  if (cut.where === 'request') return frame.start;
  return frame.start + Math.floor((frame.end - frame.start) / 2);
}

function allClosed(sockets: readonly Socket[]): Promise<unknown> {
  return Promise.all(
    sockets.map(
      (socket) =>
        new Promise<void>((resolve) => {
          socket.once('close', () => resolve());
        }),
    ),
  );
}
