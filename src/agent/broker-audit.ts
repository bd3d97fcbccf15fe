import { ACCESS_LIMITS } from '../access-limits.ts';
import { systemCodeOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { type AedesClient, type AedesHandle, saidGoodbye } from './broker-aedes.ts';
import type { DeviceStream } from './broker-door.ts';
import { REASON } from './broker-reasons.ts';
import { MinuteLines } from './minute-lines.ts';
import { shortened } from './refusal-line.ts';

/** Why a connection ended; names are API, see docs/access.md. */
export type EndReason =
  | 'goodbye'
  | 'lost'
  | 'keep-alive'
  | 'taken-over'
  | 'not-authorized'
  | 'not-stored'
  | 'violation'
  | 'too-fast'
  | 'too-slow'
  | 'stopping';

export interface AuditOptions {
  /** False: connects and disconnects are debug lines. */
  readonly logConnections: boolean;
  readonly userOf: (client: object) => string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

const TAKEN_OVER = 0x8e;

/**
 * Tells who came and went, as whom, from where and why. A minute has so many lines; what came beyond them is
 * counted, so that a storm of connections is none of the disk.
 */
export class Audit {
  readonly #options: AuditOptions;
  readonly #ends = new WeakMap<object, EndReason>();
  readonly #lines: MinuteLines;
  #isStopping = false;

  constructor(options: AuditOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#lines = new MinuteLines(ACCESS_LIMITS.auditLines, clock, (count) => {
      logger.warn(
        { event: 'client.unsaid', count },
        `${count} connects and disconnects were too many to tell within a minute`,
      );
    });
  }

  watch(handle: AedesHandle): void {
    const { broker } = handle;
    // Whatever of us ends a connection is noted.
    handle.onDisconnect = (client, code) => this.note(client, wordFor(code));
    broker.on('client', (client) => {
      const { version } = client as AedesClient;
      this.#say('client.connected', client as AedesClient, { version }, 'a client connected');
    });
    broker.on('keepaliveTimeout', (client) => this.#ends.set(client, 'keep-alive'));
    broker.on('clientError', (client, error) => {
      // A socket's own error says no more than that it is lost.
      const isPeers = systemCodeOf(error) === undefined && !(client as AedesClient).closed;
      // aedes's word for who reads nothing of what it asked for.
      if (isPeers) this.note(client, error.message === 'drain timeout' ? 'too-slow' : 'violation');
    });
    broker.on('clientDisconnect', (client) => {
      const reason = this.#reasonOf(client as AedesClient);
      const text = `a client's connection ended: ${reason}`;
      this.#say('client.disconnected', client as AedesClient, { reason }, text);
    });
  }

  /** A client's connection, or the stream that it came with, is about to be ended over that. The first reason counts. */
  note(whose: object, reason: EndReason): void {
    if (!this.#ends.has(whose)) this.#ends.set(whose, reason);
  }

  stopping(): void {
    this.#isStopping = true;
  }

  stop(): void {
    this.#lines.stop();
  }

  #reasonOf(client: AedesClient): EndReason {
    const noted = this.#ends.get(client.conn) ?? this.#ends.get(client);
    if (noted !== undefined) return noted;
    if (saidGoodbye(client)) return 'goodbye';
    return this.#isStopping ? 'stopping' : 'lost';
  }

  #say(event: string, client: AedesClient, more: object, text: string): void {
    if (!this.#lines.admits()) return;
    const { logConnections, logger, userOf } = this.#options;
    const from = (client.conn as DeviceStream).remoteAddress;
    const about = { event, client: shortened(client.id), user: userOf(client), from, ...more };
    if (logConnections) logger.info(about, text);
    else logger.debug(about, text);
  }
}

function wordFor(code: number): EndReason {
  if (code === TAKEN_OVER) return 'taken-over';
  if (code === REASON.notAuthorized) return 'not-authorized';
  if (code === REASON.quotaExceeded || code === REASON.implementationSpecific) return 'not-stored';
  return code === REASON.messageRateTooHigh ? 'too-fast' : 'violation';
}
