import { chmod, lstat, unlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { gapJson } from '../loss.ts';
import type { ExportHeld } from '../mirror/file/export-had.ts';
import type { SeekRequest } from '../mirror/seek.ts';
import type { SkipRequest } from '../mirror/skip.ts';
import type { LogReader, LossLedger } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import { suggestion } from '../words.ts';
import { checkConsume, consumeLines } from './consume.ts';
import type { BrokenOff, ControlError, MirrorAction } from './control-api.ts';
import {
  consumeRequestOf,
  exportHeldOf,
  httpStatusOf,
  MIRROR_ACTIONS,
  mirrorRequestOf,
} from './control-api.ts';
import { SOCKET_NAME, socketAddress } from './socket-path.ts';
import { withoutLog, type AgentStatus } from './status.ts';

/** What the control server may do with a mirror. */
export interface SteeredMirror {
  pause(topic?: string): Promise<void>;
  resume(topic?: string): Promise<void>;
  seek(request: SeekRequest): Promise<unknown>;
  skip(request: SkipRequest): Promise<unknown>;
}

export interface ControlServerOptions {
  /** The caller holds the folder's lock: a socket found there is left over. */
  readonly dataFolder: string;
  readonly reader: LogReader;
  readonly ledger: LossLedger;
  readonly mirrors: ReadonlyMap<string, SteeredMirror>;
  /** Lets go of the position of a mirror that is not configured any more. */
  readonly forgetMirror: (name: string) => Promise<void>;
  /** Bytes of an export; see mirror/file. Throws NOT_FOUND and USAGE before the first. */
  readonly exportMirror: (
    name: string,
    held: readonly ExportHeld[],
    signal: AbortSignal,
  ) => Promise<AsyncGenerator<Uint8Array>>;
  readonly status: () => Promise<AgentStatus>;
  /** While there is no log: why. Only the status is answered then. */
  readonly unavailable?: () => GatelogError;
  /** Moves what is no socket, and stands in its place, out of the way. */
  readonly setAside?: (file: string) => Promise<void>;
  readonly logger: Logger;
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
  readonly #options: ControlServerOptions;
  readonly #ending = new AbortController();

  constructor(options: ControlServerOptions) {
    this.#options = options;
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
    if (route === 'GET /status' && name === undefined) {
      sendJson(response, await this.#options.status());
      return;
    }
    this.#requireLog();
    if (route === 'GET /topics' && name === undefined) {
      sendJson(response, (await this.#options.status()).topics);
    } else if (route === 'GET /consume' && name === undefined) {
      await this.#consume(url.searchParams, response);
    } else if (route === 'GET /gaps' && name === undefined) {
      await this.#gaps(response);
    } else if (route === 'POST /mirrors' && action === 'export' && rest.length === 0) {
      await this.#export(decodeURIComponent(name ?? ''), await readBody(request), response);
    } else if (route === 'POST /mirrors' && isAction(action) && rest.length === 0) {
      await this.#steer(decodeURIComponent(name ?? ''), action, await readBody(request), response);
    } else {
      throw new GatelogError('NOT_FOUND', `the agent knows no ${request.method} ${url.pathname}`);
    }
  }

  #requireLog(): void {
    const reason = this.#options.unavailable?.();
    if (reason !== undefined) throw withoutLog(reason.code, reason.message);
  }

  async #steer(
    name: string,
    action: MirrorAction,
    body: string,
    response: ServerResponse,
  ): Promise<void> {
    const asked = mirrorRequestOf(action, body);
    if (asked.action === 'forget') {
      await this.#options.forgetMirror(name);
      sendJson(response, {});
      return;
    }
    const mirror = this.#options.mirrors.get(name);
    if (mirror === undefined) {
      const known = [...this.#options.mirrors.keys()];
      const message = `there is no mirror ${JSON.stringify(name)}${suggestion(name, known)}`;
      throw new GatelogError('NOT_FOUND', message);
    }
    if (asked.action === 'seek') sendJson(response, await mirror.seek(asked.request));
    else if (asked.action === 'skip') sendJson(response, await mirror.skip(asked.request));
    else {
      await mirror[asked.action](asked.topic);
      sendJson(response, {});
    }
  }

  /** An answer that ends before its end was sent is not whole: the client knows by the last frame. */
  async #export(name: string, body: string, response: ServerResponse): Promise<void> {
    const held = exportHeldOf(body);
    const { signal, release } = this.#whileRead(response);
    const bytes = await this.#options.exportMirror(name, held, signal);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    for await (const part of bytes) {
      if (!response.write(part)) await drained(response, signal);
      if (signal.aborted) break;
    }
    release();
  }

  /** One block at a time: a slow reader slows the reading of the log, and nothing piles up. */
  async #consume(query: URLSearchParams, response: ServerResponse): Promise<void> {
    const { reader } = this.#options;
    const request = consumeRequestOf(query);
    checkConsume(reader, request);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    // There may be no line for a long time, and the reader is to know that it is heard.
    response.flushHeaders();
    const { signal, release } = this.#whileRead(response);
    for await (const lines of consumeLines(reader, request, signal)) {
      if (!response.write(lines)) await drained(response, signal);
      if (signal.aborted) break;
    }
    release();
  }

  /** Aborts when the reader goes away or the agent ends. `release` ends the answer. */
  #whileRead(response: ServerResponse): {
    readonly signal: AbortSignal;
    readonly release: () => void;
  } {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const release = (): void => {
      if (this.#ending.signal.aborted) response.destroy();
      else response.end();
    };
    return { signal: AbortSignal.any([gone.signal, this.#ending.signal]), release };
  }

  /** The loss ledger, a line of JSON an entry. */
  async #gaps(response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    for await (const entry of this.#options.ledger.entries()) {
      const isFull = !response.write(`${JSON.stringify(gapJson(entry))}\n`);
      if (isFull) await drained(response, this.#ending.signal);
      if (this.#ending.signal.aborted || response.destroyed) break;
    }
    response.end();
  }

  #refuse(error: unknown, response: ServerResponse): void {
    const code = error instanceof GatelogError ? error.code : 'INTERNAL';
    const body: ControlError = { code, message: messageOf(error) };
    if (response.headersSent) {
      this.#options.logger.warn({ error: messageOf(error) }, 'a control request broke off');
      const last: BrokenOff = { brokenOff: body };
      response.end(`${JSON.stringify(last)}\n`);
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

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      response.off('drain', end);
      signal.removeEventListener('abort', end);
      resolve();
    };
    response.once('drain', end);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
  });
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
