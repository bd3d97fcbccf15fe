import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { GatelogError, messageOf, systemCodeOf } from '../errors.ts';
import { Certificates } from './broker-certificates.ts';
import type { DeviceStream, Door } from './broker-door.ts';
import type { Entrance } from './broker-logins.ts';
import { bindUnix, clearWay } from './broker-unix.ts';
import type { HeldMessages } from './broker-websocket-held.ts';
import { LISTEN_EXPECTED } from './config-forms.ts';
import type { ListenConfig, ServerTls } from './config-types.ts';
import {
  formatListen,
  isLocal,
  isSecure,
  isWebSocket,
  type ListenAddress,
  parseListen,
} from './listen-address.ts';
import { listenTrouble } from './listen-trouble.ts';

export interface Listener {
  readonly server: Server;
  /** With the port really taken. */
  readonly address: string;
}

/** What the listeners of a broker share, and where connections go to. */
export interface ListenParts {
  readonly door: Door;
  readonly certificates: Certificates;
  readonly held: HeldMessages;
  readonly take: (stream: DeviceStream, entrance: Entrance) => void;
  readonly violated: (stream: DeviceStream, why: string) => void;
}

type Accept = (socket: Socket) => void;

/**
 * Listens on an address of any kind: connections are accepted and counted in one place, and then go
 * through TLS, WebSocket, both or neither. Throws GatelogError LISTEN_FAILED or CONFIG_INVALID.
 */
export async function listenOn(
  listen: ListenConfig,
  anonymous: boolean,
  parts: ListenParts,
): Promise<Listener> {
  const { url, tls } = listen;
  const address = parseListen(url);
  if (address === undefined) {
    const message = `${JSON.stringify(url)} is no address to listen on; expected ${LISTEN_EXPECTED}`;
    throw new GatelogError('CONFIG_INVALID', message);
  }
  try {
    const { accept, secure } = await layersOf(address, listen, anonymous, parts);
    const waits = isSecure(address) || isWebSocket(address);
    const server = createServer({ noDelay: true }, (socket) => {
      if (parts.door.admit(socket, waits)) accept(socket);
    });
    await bind(server, address);
    // As when there are no file descriptors left; nobody would hear it otherwise, and the process end.
    server.on('error', (error) => {
      parts.door.refuse({}, `a connection could not be accepted: ${messageOf(error)}`);
    });
    const taken = formatListen({ ...address, port: portOf(server) });
    if (tls !== undefined) secure?.(taken);
    return { server, address: taken };
  } catch (error) {
    const message = `can't listen on ${url}: ${listenTrouble(error, address)}`;
    throw new GatelogError('LISTEN_FAILED', message, { cause: error });
  }
}

/** Stops accepting. Resolves when the last connection is gone, so do not wait for it first. */
export function closeListener(listener: Listener): Promise<void> {
  return new Promise((resolve) => {
    listener.server.close(() => resolve());
  });
}

interface Layers {
  readonly accept: Accept;
  /** Call with the address that was taken: from then on new certificates are used. */
  readonly secure: ((taken: string) => void) | undefined;
}

async function layersOf(
  address: ListenAddress,
  { tls, allowAnonymous }: ListenConfig,
  anonymous: boolean,
  parts: ListenParts,
): Promise<Layers> {
  const { door, held, violated } = parts;
  const entrance = { anonymous, certificateUser: tls?.user };
  const waits = isSecure(address) || isWebSocket(address);
  const take = (stream: DeviceStream): void => {
    if (waits) door.arrived(stream);
    parts.take(stream, entrance);
  };
  let accept: Accept = take;
  if (isWebSocket(address)) {
    const onlyLocalPages = anonymous && allowAnonymous !== true && isLocal(address);
    const refuse = door.refuse.bind(door);
    const { path } = address;
    const { WebSocketDoor } = await import('./broker-websocket.ts');
    const webSockets = new WebSocketDoor({ path, onlyLocalPages, held, take, refuse, violated });
    accept = (socket) => webSockets.accept(socket);
  }
  if (!isSecure(address)) return { accept, secure: undefined };
  if (tls === undefined) throw new Error('it has no certificate (mqtt.tls)');
  return secured(tls, accept, parts);
}

/** This server listens nowhere: sockets are handed to it. */
async function secured(
  tls: ServerTls,
  accept: Accept,
  { certificates, door }: ListenParts,
): Promise<Layers> {
  const options = await certificates.load(tls);
  const server = createTlsServer({
    ...options,
    requestCert: tls.requireCertificate,
    rejectUnauthorized: tls.requireCertificate,
  });
  server.on('secureConnection', (socket) => {
    socket.disableRenegotiation();
    accept(socket);
  });
  server.on('tlsClientError', (error, socket) => {
    const trouble = certificateTrouble(socket) ?? tlsTrouble(error);
    door.handshakeFailed(socketBeneath(socket), `no TLS connection: ${trouble}`);
    socket.destroy();
  });
  return {
    accept: (socket) => server.emit('connection', socket),
    secure: (taken) => {
      certificates.watch(tls, taken, (changed) => server.setSecureContext(changed));
    },
  };
}

const TLS_TROUBLES: Readonly<Record<string, string>> = {
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'the device showed no certificate',
  ERR_SSL_HTTP_REQUEST: 'it speaks HTTP without TLS',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'the device speaks older versions of TLS only',
  ERR_SSL_NO_SHARED_CIPHER: 'the device knows old ciphers only',
  ERR_SSL_SSL_ALERT_UNKNOWN_CA: 'the device does not know the CA of our certificate',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'the device does not know the CA of our certificate',
  ECONNRESET: 'the device hung up',
};

/** Of a device's certificate, by the codes of OpenSSL's verification. */
const CERTIFICATE_TROUBLES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet, by our clock',
  CERT_REVOKED: 'was revoked',
  ...Object.fromEntries(
    [
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'CERT_SIGNATURE_FAILURE',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ].map((code) => [code, 'is of another CA'] as const),
  ),
};

/** Node hangs up over it without an error; undefined: it is none of the certificate. */
function certificateTrouble({ authorizationError }: TLSSocket): string | undefined {
  // A code, whatever its type says.
  const code = authorizationError as unknown as string | null | undefined;
  if (typeof code !== 'string') return undefined;
  return `the device’s certificate ${CERTIFICATE_TROUBLES[code] ?? `can’t be believed (${code})`}`;
}

/** The TLS socket no longer knows its peer's address. Not in Node's documentation. */
function socketBeneath(secure: TLSSocket): Socket {
  // oxlint-disable-next-line no-underscore-dangle -- Node's own name
  return (secure as { readonly _parent?: Socket })._parent ?? secure;
}

/** OpenSSL's own messages are for its makers. */
function tlsTrouble(error: Error & { readonly reason?: string }): string {
  return TLS_TROUBLES[systemCodeOf(error) ?? ''] ?? error.reason ?? messageOf(error);
}

function bind(server: Server, { kind, host, port, path }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    if (kind !== 'unix') {
      server.listen(port, host, resolve);
      return;
    }
    clearWay(path).then(() => bindUnix(server, path, resolve), reject);
  });
}

function portOf(server: Server): number {
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}
