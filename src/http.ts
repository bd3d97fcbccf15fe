import type * as Http from 'node:http';
import type * as Https from 'node:https';

/**
 * `node:http`, asked of the process: an `import` of it reads all that it exports, its WebSocket too,
 * and with that a whole second client (undici) is loaded: 4.2 MB of memory that nothing here needs.
 */
const http: typeof Http = process.getBuiltinModule('node:http');

export const createServer: typeof http.createServer = http.createServer;
/** Likewise of `node:https`, and only where an address has a certificate. */
export function createSecureServer(options: Https.ServerOptions): Https.Server {
  return process.getBuiltinModule('node:https').createServer(options);
}
export const request: typeof http.request = http.request;
