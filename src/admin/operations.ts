import { GatelogError } from '../errors.ts';
import { gapJson } from '../loss.ts';
import type { ExportHeld } from '../mirror/file/export-had.ts';
import type { SeekRequest } from '../mirror/seek.ts';
import type { SkipRequest } from '../mirror/skip.ts';
import type { MirrorStatus } from '../mirror/status.ts';
import type { LogReader, LossLedger } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import { suggestion } from '../words.ts';
import type { ClientList } from './client-status.ts';
import { checkConsume, consumeLines, type ConsumeRequest } from './consume.ts';
import type { MirrorRequest } from './control-api.ts';
import { withoutLog, type AgentStatus, type TopicStatus } from './status.ts';

/** What a person may do with a mirror. */
export interface SteeredMirror {
  pause(topic?: string): Promise<void>;
  resume(topic?: string): Promise<unknown>;
  seek(request: SeekRequest): Promise<unknown>;
  skip(request: SkipRequest): Promise<unknown>;
}

export interface OperationsOptions {
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
  /** Who is connected, so many at most. */
  readonly clients: (atMost: number) => ClientList;
  /** While there is no log: why. Only the status is answered then. */
  readonly unavailable?: () => GatelogError;
  readonly logger: Logger;
}

/** Who asked, for the line in the agent's log: nothing for the command line, an address over HTTP. */
export type AskedBy = Readonly<Record<string, unknown>>;

/**
 * What can be asked of an agent, whichever way it is asked: over the control socket by the command line,
 * over HTTP by everybody else. Without a log everything but the status throws why there is none.
 */
export class Operations {
  readonly #options: OperationsOptions;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  status(): Promise<AgentStatus> {
    return this.#options.status();
  }

  clients(atMost: number): ClientList {
    return this.#options.clients(atMost);
  }

  async topics(): Promise<readonly TopicStatus[]> {
    this.#requireLog();
    return (await this.#options.status()).topics;
  }

  async mirrors(): Promise<readonly MirrorStatus[]> {
    this.#requireLog();
    return (await this.#options.status()).mirrors;
  }

  /** Blocks of JSON lines. Throws NOT_FOUND here, not at the first block. */
  consume(request: ConsumeRequest, signal: AbortSignal): AsyncGenerator<string> {
    this.#requireLog();
    const { reader } = this.#options;
    checkConsume(reader, request);
    return consumeLines(reader, request, signal);
  }

  /** The loss ledger, a line of JSON an entry. */
  gaps(): AsyncGenerator<string> {
    this.#requireLog();
    return gapLines(this.#options.ledger);
  }

  /** What the mirror answers; `{}` where it has nothing to say. */
  async steer(name: string, asked: MirrorRequest, by: AskedBy = {}): Promise<unknown> {
    this.#requireLog();
    // Before it is done: what it leads to is told after it.
    this.#options.logger.info(
      { event: 'admin', mirror: name, ...asked, ...by },
      `a person asked: mirror ${asked.action} ${name}`,
    );
    if (asked.action === 'forget') {
      await this.#options.forgetMirror(name);
      return {};
    }
    const mirror = this.#options.mirrors.get(name);
    if (mirror === undefined) {
      const known = [...this.#options.mirrors.keys()];
      const message = `there is no mirror ${JSON.stringify(name)}${suggestion(name, known)}`;
      throw new GatelogError('NOT_FOUND', message);
    }
    if (asked.action === 'seek') return mirror.seek(asked.request);
    if (asked.action === 'skip') return mirror.skip(asked.request);
    if (asked.action === 'resume') return mirror.resume(asked.topic);
    await mirror.pause(asked.topic);
    return {};
  }

  export(
    name: string,
    held: readonly ExportHeld[],
    signal: AbortSignal,
  ): Promise<AsyncGenerator<Uint8Array>> {
    this.#requireLog();
    const about = { event: 'admin', mirror: name, action: 'export' };
    this.#options.logger.info(about, `a person asked: export ${name}`);
    return this.#options.exportMirror(name, held, signal);
  }

  #requireLog(): void {
    const reason = this.#options.unavailable?.();
    if (reason !== undefined) throw withoutLog(reason.code, reason.message);
  }
}

async function* gapLines(ledger: LossLedger): AsyncGenerator<string> {
  for await (const entry of ledger.entries()) yield `${JSON.stringify(gapJson(entry))}\n`;
}
