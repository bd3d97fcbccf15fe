import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { request as httpRequest } from '../http.ts';
import type { GapJson } from '../loss.ts';
import { GatelogError, messageOf, systemCodeOf } from '../errors.ts';
import { mayRead, notForUs } from '../folder-access.ts';
import { startHint } from '../service-place.ts';
import { isLocked } from '../folder-lock.ts';
import type { ExportHeld } from '../mirror/file/export-had.ts';
import type { ConsumeRequest } from './consume.ts';
import type { BrokenOff, ControlError, MirrorAction, MirrorBody } from './control-api.ts';
import { BROKEN_OFF, consumeQuery } from './control-api.ts';
import type { ReloadStatus } from './reload-status.ts';
import { knownStandIn, socketAddress } from './socket-path.ts';
import { wholeStatus, type AgentStatus, type WholeStatus } from './status.ts';

/**
 * The command line's end of the control socket. Every call throws AGENT_NOT_RUNNING when nobody
 * listens, and the agent's own error otherwise.
 */
export class ControlClient {
  readonly #dataFolder: string;

  constructor(dataFolder: string) {
    this.#dataFolder = dataFolder;
  }

  async status(): Promise<AgentStatus> {
    return (await this.#json('GET', '/status')) as AgentStatus;
  }

  /** Of an agent that has its log; throws what keeps it from that. */
  async wholeStatus(): Promise<WholeStatus> {
    return wholeStatus(await this.status());
  }

  async reload(): Promise<ReloadStatus> {
    return (await this.#json('POST', '/reload')) as ReloadStatus;
  }

  async steer(mirror: string, action: MirrorAction, body: MirrorBody): Promise<unknown> {
    const path = `/mirrors/${encodeURIComponent(mirror)}/${action}`;
    return this.#json('POST', path, { body: JSON.stringify(body) });
  }

  /**
   * Blocks of whole JSON lines, to be read from what this resolves with. `from` is the start point
   * as a person wrote it. Reading ends when `signal` aborts, and throws AGENT_NOT_RUNNING when the
   * agent stops meanwhile.
   */
  async consume(
    request: ConsumeRequest,
    from: string,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<string>> {
    const path = `/consume?${consumeQuery(request, from)}`;
    return wholeLines(await this.#ask('GET', path, { signal }), signal);
  }

  /** The bytes of an export (mirror/file), which end early when the agent stops or `signal` aborts. */
  async exportMirror(
    mirror: string,
    held: readonly ExportHeld[],
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    const path = `/mirrors/${encodeURIComponent(mirror)}/export`;
    return this.#ask('POST', path, { body: JSON.stringify(held), signal });
  }

  /** The loss ledger. */
  async *gaps(): AsyncGenerator<GapJson> {
    const response = await this.#ask('GET', '/gaps', {});
    for await (const block of wholeLines(response, new AbortController().signal)) {
      for (const line of block.split('\n')) if (line !== '') yield JSON.parse(line) as GapJson;
    }
  }

  async #json(method: string, path: string, extra: Extra = {}): Promise<unknown> {
    return JSON.parse(await textOf(await this.#ask(method, path, extra)));
  }

  async #ask(method: string, path: string, extra: Extra): Promise<IncomingMessage> {
    try {
      return await this.#askAt(this.#dataFolder, method, path, extra);
    } catch (error) {
      const standIn = await knownStandIn(this.#dataFolder);
      const isGone = error instanceof GatelogError && error.code === 'AGENT_NOT_RUNNING';
      if (!isGone || standIn === undefined) throw error;
      return this.#askAt(standIn, method, path, extra);
    }
  }

  async #askAt(
    folder: string,
    method: string,
    path: string,
    extra: Extra,
  ): Promise<IncomingMessage> {
    const address = await socketAddress(folder);
    try {
      const response = await send({ socketPath: address.path, method, path }, extra);
      if (response.statusCode === 200) return response;
      throw errorOf(await textOf(response), response.statusCode ?? 0);
    } catch (error) {
      throw await this.#explained(error);
    } finally {
      await address.release();
    }
  }

  async #explained(error: unknown): Promise<unknown> {
    const folder = this.#dataFolder;
    const code = systemCodeOf(error);
    const isForbidden = code === 'EACCES' || code === 'EPERM';
    if (isForbidden && (await isLocked(join(folder, 'state')))) {
      const message = `the agent on ${folder} answers its own user only: run this command with sudo, or as that user`;
      return new GatelogError('STORE_FORBIDDEN', message, { cause: error });
    }
    if (isForbidden && !(await mayRead(folder))) {
      return notForUs(folder, error);
    }
    // A socket that is another user's and that nobody listens on is left over.
    if (ABSENT.has(code ?? '') || isForbidden) {
      const message = `no agent is running on ${folder}; ${startHint(folder)}`;
      return new GatelogError('AGENT_NOT_RUNNING', message, { cause: error });
    }
    return error;
  }
}

/** Nobody listens. EROFS: no socket stands there, on a file system that is mounted read-only. */
const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'EROFS']);

async function* wholeLines(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  try {
    for await (const text of response as AsyncIterable<string>) {
      const block = rest + text;
      const end = block.lastIndexOf('\n') + 1;
      rest = block.slice(end);
      // Whole lines only: what begins at the end has not come yet.
      const last = end === 0 ? -1 : block.lastIndexOf(BROKEN_OFF, end - 1);
      const isLast = last === 0 || block[last - 1] === '\n';
      if (last >= 0 && isLast) {
        if (last > 0) yield block.slice(0, last);
        const { brokenOff } = JSON.parse(block.slice(last, end)) as BrokenOff;
        throw new GatelogError(brokenOff.code, brokenOff.message);
      }
      if (end > 0) yield block.slice(0, end);
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof GatelogError || systemCodeOf(error) === undefined) throw error;
    throw new GatelogError('AGENT_NOT_RUNNING', 'the agent stopped while we were reading', {
      cause: error,
    });
  }
}

interface Extra {
  readonly body?: string;
  /** Breaks the request off, and the reading of its answer. */
  readonly signal?: AbortSignal;
}

function send(
  options: { socketPath: string; method: string; path: string },
  { body, signal }: Extra,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...options, agent: false }, resolve);
    const abort = (): void => void request.destroy();
    signal?.addEventListener('abort', abort, { once: true });
    request.once('close', () => signal?.removeEventListener('abort', abort));
    request.once('error', reject);
    request.end(body);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const part of response as AsyncIterable<string>) text += part;
  return text;
}

function errorOf(text: string, status: number): GatelogError {
  try {
    const { code, message } = JSON.parse(text) as ControlError;
    return new GatelogError(code, message);
  } catch (error) {
    const message = `the agent answered ${status} and nothing that we understand: ${messageOf(error)}`;
    return new GatelogError('INTERNAL', message);
  }
}
