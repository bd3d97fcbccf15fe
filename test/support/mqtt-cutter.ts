import { connect, createServer, type Server, type Socket } from 'node:net';
import { resetSocket } from '../../src/cli/demo/reset-socket.ts';

/** By packet type (MQTT 5, section 2.1.2). */
export const CUT_AT = { PUBLISH: 3, PUBACK: 4, PUBREC: 5, PUBREL: 6, PUBCOMP: 7 } as const;
export type CutAt = keyof typeof CUT_AT;

interface Armed {
  readonly type: number;
  left: number;
  readonly done: () => void;
}

/** A proxy that knows MQTT's packets and cuts the link where one of them would have passed. */
export class MqttCutter {
  readonly #server: Server;
  readonly #links = new Set<() => void>();
  #armed: Armed | undefined;
  #refusing = false;
  /** Packets from the client that went on to the broker, by type. */
  readonly passed: Map<number, number> = new Map<number, number>();

  readonly targetPort: number;

  private constructor(targetPort: number) {
    this.targetPort = targetPort;
    this.#server = createServer({ noDelay: true }, (client) => {
      if (this.#refusing) return resetSocket(client);
      const far = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
      const cut = (): void => {
        this.#links.delete(cut);
        resetSocket(client);
        resetSocket(far);
      };
      this.#links.add(cut);
      this.#pipe(client, far, cut, true);
      this.#pipe(far, client, cut, false);
    });
  }

  static async start(targetPort: number): Promise<MqttCutter> {
    const cutter = new MqttCutter(targetPort);
    await new Promise<void>((resolve) => {
      cutter.#server.listen(0, '127.0.0.1', resolve);
    });
    return cutter;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Lets `after` packets of the type through; the next one and everything later is lost. Resolves then. */
  cutAt(at: CutAt, after: number): Promise<void> {
    return new Promise((resolve) => {
      this.#armed = { type: CUT_AT[at], left: after, done: resolve };
    });
  }

  /** Links may come again. */
  accept(): void {
    this.#refusing = false;
  }

  /** No link, and none to come. */
  refuse(): void {
    this.#refusing = true;
    for (const cut of this.#links) cut();
  }

  async close(): Promise<void> {
    this.refuse();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #pipe(from: Socket, to: Socket, cut: () => void, isUp: boolean): void {
    let rest: Buffer = Buffer.alloc(0);
    from.on('error', cut);
    from.on('close', cut);
    from.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const length = packetLength(rest);
        if (length === undefined || rest.length < length) return;
        const packet = rest.subarray(0, length);
        rest = rest.subarray(length);
        const type = (packet[0] ?? 0) >> 4;
        if (this.#isLast(type)) {
          // What was let through before arrives: a reset would overtake it.
          rest = Buffer.alloc(0);
          from.removeAllListeners('data').resume();
          to.end(() => cut());
          return;
        }
        if (isUp) this.passed.set(type, (this.passed.get(type) ?? 0) + 1);
        to.write(packet);
      }
    });
  }

  #isLast(type: number): boolean {
    const armed = this.#armed;
    if (armed?.type !== type || armed.left-- > 0) return false;
    this.#armed = undefined;
    armed.done();
    return true;
  }
}

/** undefined: it is not known yet. */
function packetLength(bytes: Buffer): number | undefined {
  let length = 0;
  for (let at = 1; at < 5; at++) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** (at - 1);
    if (byte < 0x80) return 1 + at + length;
  }
  throw new Error('a packet without an end to its length');
}
