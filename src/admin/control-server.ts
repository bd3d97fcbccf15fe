import { chmod, lstat, unlink } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import { GatelogError, messageOf } from '../errors.ts';
import { createServer } from '../http.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { ControlError, MirrorAction } from './control-api.ts';
import {
  brokenOffLine,
  consumeRequestOf,
  exportHeldOf,
  httpStatusOf,
  MIRROR_ACTIONS,
  mirrorRequestOf,
} from './control-api.ts';
import { Operations, type OperationsOptions } from './operations.ts';
import { sentParts } from './send-parts.ts';
import type { ReloadStatus } from './reload-status.ts';
import { SOCKET_NAME, socketAddress } from './socket-path.ts';

export interface ControlServerOptions extends OperationsOptions {
  /** The caller holds the folder's lock: a socket found there is left over. */
  readonly dataFolder: string;
  readonly reload: () => Promise<ReloadStatus>;
  /** Moves what is no socket, and stands in its place, out of the way. */
  readonly setAside?: (file: string) => Promise<void>;
}

export interface ControlServer {
  /** Who looks for it finds it: not so when its name was deleted, or its disk is another one now. */
  isReachable(): Promise<boolean>;
  /** Ends streams too. Idempotent. */
  stop(): Promise<void>;
}

/**
 * HTTP on a Unix socket in the data folder, for the command line and the live view. Who may write
 * to the socket (its owner: mode 0600) may steer the agent; there is no other guard.
 */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const requests = new ControlRequests(options);
  const server = createServer((request, response) => {
    void requests.answer(request, response);
  });
  await removeLeftover(path.join(options.dataFolder, SOCKET_NAME), options.setAside);
  const address = await socketAddress(options.dataFolder);
  try {
    await listen(server, address.path);
    await chmod(address.path, 0o600);
  } catch (error) {
    const message = `can't listen on the control socket ${address.path}: ${messageOf(error)}`;
    throw new GatelogError('LISTEN_FAILED', message, { cause: error });
  }
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    requests.abort();
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    server.closeAllConnections();
    await closed;
    await address.release();
  };
  return { isReachable: () => answers(options.dataFolder), stop: () => (stopped ??= stop()) };
}

async function removeLeftover(
  file: string,
  setAside: ControlServerOptions['setAside'],
): Promise<void> {
  const found = await lstat(file).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    if (setAside !== undefined) return setAside(file);
    throw new GatelogError(
      'LISTEN_FAILED',
      `${file} is in the way of the control socket: remove it`,
    );
  }
  await unlink(file);
}

/** The socket is bound within the call, so the mask holds for it and for nothing else. */
function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const before = process.umask(0o177);
    try {
      server.listen(socketPath, resolve);
    } finally {
      process.umask(before);
    }
  });
}

async function answers(dataFolder: string): Promise<boolean> {
  const address = await socketAddress(dataFolder).catch(() => undefined);
  if (address === undefined) return false;
  try {
    return await new Promise((resolve) => {
      const socket = connect(address.path, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  } finally {
    await address.release();
  }
}

class ControlRequests {
  readonly #operations: Operations;
  readonly #reload: ControlServerOptions['reload'];
  readonly #logger: Logger;
  readonly #ending = new AbortController();

  constructor(options: ControlServerOptions) {
    this.#operations = new Operations(options);
    this.#reload = options.reload;
    this.#logger = options.logger;
  }

  abort(): void {
    this.#ending.abort();
  }

  /** Never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch (error) {
      this.#refuse(error, response);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://agent');
    const [, first, name, action, ...rest] = url.pathname.split('/');
    const route = `${request.method ?? ''} /${first ?? ''}`;
    const operations = this.#operations;
    if (route === 'GET /status' && name === undefined) {
      sendJson(response, await operations.status());
    } else if (route === 'POST /reload' && name === undefined) {
      sendJson(response, await this.#reload());
    } else if (route === 'GET /topics' && name === undefined) {
      sendJson(response, await operations.topics());
    } else if (route === 'GET /consume' && name === undefined) {
      await this.#consume(url.searchParams, response);
    } else if (route === 'GET /gaps' && name === undefined) {
      const gaps = operations.gaps();
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      await sentParts(response, this.#ending.signal, undefined).send(gaps);
    } else if (route === 'POST /mirrors' && action === 'export' && rest.length === 0) {
      await this.#export(decodeURIComponent(name ?? ''), await readBody(request), response);
    } else if (route === 'POST /mirrors' && isAction(action) && rest.length === 0) {
      const asked = mirrorRequestOf(action, await readBody(request));
      sendJson(response, await operations.steer(decodeURIComponent(name ?? ''), asked));
    } else {
      throw new GatelogError('NOT_FOUND', `the agent knows no ${request.method} ${url.pathname}`);
    }
  }

  /** An answer that ends before its end was sent is not whole: the client knows by the last frame. */
  async #export(name: string, body: string, response: ServerResponse): Promise<void> {
    const held = exportHeldOf(body);
    const parts = sentParts(response, this.#ending.signal, undefined);
    const bytes = await this.#operations.export(name, held, parts.signal);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    await parts.send(bytes);
  }

  async #consume(query: URLSearchParams, response: ServerResponse): Promise<void> {
    const parts = sentParts(response, this.#ending.signal, undefined);
    const lines = this.#operations.consume(consumeRequestOf(query), parts.signal);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    // There may be no line for a long time, and the reader is to know that it is heard.
    response.flushHeaders();
    await parts.send(lines);
  }

  #refuse(error: unknown, response: ServerResponse): void {
    const code = error instanceof GatelogError ? error.code : 'INTERNAL';
    const body: ControlError = { code, message: messageOf(error) };
    if (response.headersSent) {
      this.#logger.warn({ error: messageOf(error) }, 'a control request broke off');
      response.end(brokenOffLine(body));
      return;
    }
    response.writeHead(httpStatusOf(code), { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }
}

function isAction(text: string | undefined): text is MirrorAction {
  return MIRROR_ACTIONS.some((action) => action === text);
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

async function readBody(request: IncomingMessage): Promise<string> {
  let size = 0;
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > LIMITS.controlBodyBytes) throw new GatelogError('USAGE', 'the request is too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
