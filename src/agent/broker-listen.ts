import { createServer, type Server, type Socket } from 'node:net';
import { GatelogError, messageOf } from '../errors.ts';

export interface Listener {
  readonly server: Server;
  /** With the port really taken. */
  readonly address: string;
}

/**
 * Listens on `mqtt://HOST:PORT` (port 0: any free one; 1883 when there is none). Throws GatelogError
 * LISTEN_FAILED or CONFIG_INVALID.
 */
export async function listenOn(url: string, take: (socket: Socket) => void): Promise<Listener> {
  const { host, port } = parseListen(url);
  const server = createServer({ noDelay: true }, take);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new GatelogError('LISTEN_FAILED', `can't listen on ${url}: ${messageOf(error)}`, {
          cause: error,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
  const bound = server.address();
  const taken = typeof bound === 'object' && bound !== null ? bound.port : port;
  return { server, address: `mqtt://${host.includes(':') ? `[${host}]` : host}:${taken}` };
}

function parseListen(url: string): { host: string; port: number } {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.protocol !== 'mqtt:' || parsed.hostname === '') {
    throw new GatelogError(
      'CONFIG_INVALID',
      `${JSON.stringify(url)} is no address to listen on; expected mqtt://HOST:PORT`,
    );
  }
  const host = parsed.hostname.replace(/^\[(.*)\]$/u, '$1');
  return { host, port: parsed.port === '' ? 1883 : Number(parsed.port) };
}

/** Stops accepting. Resolves when the last connection is gone, so do not wait for it first. */
export function closeListener(listener: Listener): Promise<void> {
  return new Promise((resolve) => {
    listener.server.close(() => resolve());
  });
}
