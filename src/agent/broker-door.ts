import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ClientLimits, DEFAULT_CLIENT_LIMITS } from '../client-limits.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import { ConnectRates } from './broker-connect-rates.ts';
import { RefusalLine } from './refusal-line.ts';

type ConnectLimits = Pick<ClientLimits, 'connectsPerSecond' | 'addressConnectsPerSecond'>;

export interface DoorOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number | undefined;
  readonly limits?: ConnectLimits;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The addresses of both ends: the same for a socket and for what wraps it. One peer may come from one
 * port to two of our addresses at a time.
 */
export interface Ends {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

/** What a device is connected by, whatever is beneath: TCP, TLS, a WebSocket, a Unix socket. */
export interface DeviceStream extends Duplex, Ends {
  /** The socket that it runs over, where it is none itself. */
  readonly beneath?: Socket;
}

/** A stream closes once: `once` would keep three objects more for each of these, on every connection. */
export function onceClosed(stream: Duplex, closed: () => void): void {
  stream.on('close', closed);
}

interface Greeting {
  readonly socket: Socket;
  readonly timer: Timer;
}

/**
 * Counts connections from the moment they are accepted, half-open ones too, and ends those whose TLS
 * or WebSocket does not come to stand.
 */
export class Door {
  readonly #options: DoorOptions;
  readonly #sockets = new Set<Socket>();
  readonly #byAddress = new Map<string, number>();
  /** By the ends. */
  readonly #greetings = new Map<string, Greeting>();
  /** Why handshakes ended, of sockets that are closed. */
  readonly #troubles = new WeakMap<Socket, string>();
  readonly #refusals: RefusalLine;
  #rates: ConnectRates;
  #turnedAway = 0;
  #isShut = false;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#refusals = new RefusalLine('connection.refused', options);
    this.#rates = new ConnectRates(options.limits ?? DEFAULT_CLIENT_LIMITS, options.clock);
  }

  /** From now on. */
  changeLimits(limits: ConnectLimits): void {
    this.#rates = new ConnectRates(limits, this.#options.clock);
  }

  get turnedAway(): number {
    return this.#turnedAway;
  }

  /** False: it was turned away. `waits`: until `arrived` says that it is a connection of MQTT. */
  admit(socket: Socket, waits: boolean): boolean {
    const { maxConnections, maxConnectionsPerAddress = Infinity, clock } = this.#options;
    const { remoteAddress } = socket;
    const ofAddress = this.#ofAddress(remoteAddress);
    const isFull = this.#sockets.size >= maxConnections;
    if (this.#isShut || isFull || ofAddress >= maxConnectionsPerAddress) {
      const limit = isFull ? maxConnections : maxConnectionsPerAddress;
      const whose = isFull || this.#isShut ? '' : ' of one address';
      this.refuse(socket, `connection turned away: there are ${limit}${whose}`);
      socket.destroy();
      return false;
    }
    if (!this.#rates.admits(remoteAddress)) {
      this.refuse(socket, 'connection turned away: too many came in a second (mqtt.limits)');
      socket.destroy();
      return false;
    }
    // Reading it makes an object of each end, for as long as the socket lives.
    const key = waits ? keyOf(socket) : '';
    if (waits && socket.remotePort === undefined) {
      socket.destroy(); // it hung up before we came to it
      return false;
    }
    this.#sockets.add(socket);
    if (remoteAddress !== undefined) this.#byAddress.set(remoteAddress, ofAddress + 1);
    if (waits) {
      const giveUp = (): void => {
        this.refuse(socket, 'connection ended: its TLS or WebSocket handshake took too long');
        socket.destroy();
      };
      const timer = clock.after(LISTEN_LIMITS.greetingMs, giveUp);
      this.#greetings.get(key)?.timer.cancel();
      this.#greetings.set(key, { socket, timer });
    }
    onceClosed(socket, () => this.#left(socket, key, remoteAddress));
    return true;
  }

  arrived(stream: Ends): void {
    if (this.#greetings.size === 0) return;
    const key = keyOf(stream);
    this.#greetings.get(key)?.timer.cancel();
    this.#greetings.delete(key);
  }

  /** Says it now and then, and counts it always. The caller ends the connection. */
  refuse(stream: Ends, why: string): void {
    this.arrived(stream);
    this.#turnedAway++;
    this.#refusals.say({ from: stream.remoteAddress }, why);
  }

  /** Why the handshake of this socket ended; it may be closed already. */
  handshakeFailed(socket: Socket, why: string): void {
    if (socket.destroyed) this.#troubles.set(socket, why);
    else this.refuse(socket, why);
    socket.destroy();
  }

  /** Nobody else comes in, and whoever has not arrived yet goes. */
  shut(): void {
    this.#isShut = true;
    for (const { socket } of this.#greetings.values()) socket.destroy();
  }

  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #ofAddress(address: string | undefined): number {
    return address === undefined ? 0 : (this.#byAddress.get(address) ?? 0);
  }

  #left(socket: Socket, key: string, address: string | undefined): void {
    this.#sockets.delete(socket);
    const greeting = this.#greetings.get(key);
    if (greeting?.socket === socket) {
      greeting.timer.cancel();
      this.#greetings.delete(key);
      // Who only looks whether the port is open has said nothing.
      if (socket.bytesRead > 0 && !this.#isShut) {
        // Node knows why a little later.
        setImmediate(() => {
          const why = this.#troubles.get(socket) ?? 'connection ended in its handshake';
          this.refuse({ remoteAddress: address }, why);
        });
      }
    }
    if (address === undefined) return;
    const rest = this.#ofAddress(address) - 1;
    if (rest > 0) this.#byAddress.set(address, rest);
    else this.#byAddress.delete(address);
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Ends): string {
  return [remoteAddress, remotePort, localAddress, localPort].join(' ');
}
