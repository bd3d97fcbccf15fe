import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** How far a connection came. `open`: everything below the protocol stands. */
export type ConnectStage = 'resolving' | 'connecting' | 'securing' | 'open';

/** What answers there though it is not what was asked for. */
export type Stranger = 'http' | 'tls' | 'other';

export interface SeenCertificate {
  /** As OpenSSL writes times: `Nov 26 10:21:02 2026 GMT`. */
  readonly validFrom: string;
  readonly validTo: string;
  /** As in `DNS:kafka-1, IP Address:10.0.0.1`; empty when it names none. */
  readonly names: string;
  readonly issuer: string;
}

/** The far side's first bytes say that it is no broker. */
export class StrangerError extends Error {
  override readonly name = 'StrangerError';
  readonly stranger: Stranger;

  constructor(stranger: Stranger) {
    super(SAID[stranger]);
    this.stranger = stranger;
  }
}

const SAID: Readonly<Record<Stranger, string>> = {
  http: 'it answers in HTTP',
  tls: 'it answers in TLS',
  other: 'its first bytes are those of another protocol',
};

/**
 * Watches one socket from its making on: a connection that comes to nothing says only that it timed
 * out or was closed, and a person must know how far it came. It looks at the first bytes that
 * arrive; where `isForeign` names them the socket is destroyed with a StrangerError, instead of
 * being waited for as the beginning of a long answer.
 */
export class SocketWatch {
  readonly #secure: boolean;
  #stage: ConnectStage = 'resolving';
  #address: string | undefined;
  #certificate: SeenCertificate | undefined;
  #hasAnswered = false;

  constructor(socket: Socket, isForeign: (first: Buffer) => Stranger | undefined) {
    this.#secure = socket instanceof TLSSocket;
    socket.on('connectionAttempt', (address) => {
      if (this.#stage === 'resolving') this.#stage = 'connecting';
      this.#address = address;
    });
    socket.once('connect', () => {
      this.#stage = this.#secure ? 'securing' : 'open';
    });
    if (socket instanceof TLSSocket) {
      // Before Node's own listener, which destroys the socket over a certificate it refuses.
      socket.prependOnceListener('secure', () => {
        this.#certificate = certificateOf(socket);
      });
      socket.once('secureConnect', () => {
        this.#stage = 'open';
      });
    }
    socket.prependOnceListener('data', (first: Buffer) => {
      this.#hasAnswered = true;
      const stranger = isForeign(first);
      if (stranger !== undefined) socket.destroy(new StrangerError(stranger));
    });
  }

  get stage(): ConnectStage {
    return this.#stage;
  }

  /** The one that was tried last; undefined while the name is not resolved. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Something came back over it. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /** Accepted or not. */
  get certificate(): SeenCertificate | undefined {
    return this.#certificate;
  }
}

function certificateOf(socket: TLSSocket): SeenCertificate | undefined {
  const seen = socket.getPeerCertificate();
  if (Object.keys(seen).length === 0) return undefined;
  const { valid_from: validFrom, valid_to: validTo, subjectaltname: names = '', issuer } = seen;
  const { CN, O } = issuer;
  return { validFrom, validTo, names, issuer: [CN, O].flat().find(Boolean) ?? '' };
}

/** HTTP and TLS by their first bytes, whatever was asked. */
export function strangerOf(first: Buffer): 'http' | 'tls' | undefined {
  const text = first.subarray(0, 16).toString('latin1');
  if (/^(?:HTTP\/|<!doctype|<html)/iu.test(text)) return 'http';
  const [type = 0, major, minor = 0xff] = first;
  return type >= 0x14 && type <= 0x17 && major === 0x03 && minor <= 0x04 ? 'tls' : undefined;
}
