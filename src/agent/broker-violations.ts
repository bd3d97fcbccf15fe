import { ACCESS_LIMITS } from '../access-limits.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { AedesClient } from './broker-aedes.ts';
import type { EndReason } from './broker-audit.ts';
import type { DeviceStream } from './broker-door.ts';
import { ConnectRefused } from './broker-packet-check.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';
import { MinuteLines } from './minute-lines.ts';
import { shortened } from './refusal-line.ts';

export interface ViolationsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Why a client's connection, or a stream, is about to be ended. */
  readonly noteEnd: (whose: object, reason: EndReason) => void;
}

/**
 * Connections that end because the peer broke the protocol or a limit: counted always, and told some times a minute.
 * It need not even have logged in.
 */
export class Violations {
  readonly #options: ViolationsOptions;
  readonly #lines: MinuteLines;
  count = 0;

  constructor(options: ViolationsOptions) {
    this.#options = options;
    const { clock, logger } = options;
    this.#lines = new MinuteLines(ACCESS_LIMITS.violationLines, clock, (count) => {
      logger.warn(
        { event: 'client.violations', count },
        `${count} connections that ended over what their peers sent were too many to tell within a minute`,
      );
    });
  }

  /** In the framing of its WebSocket. */
  ofStream(stream: DeviceStream, why: string): void {
    this.#options.noteEnd(stream, 'violation');
    this.#say({ from: stream.remoteAddress }, why);
  }

  /** Answers a CONNECT that is refused. Returns the reason code with which the connection is to end. */
  ofPacket(client: AedesClient, socket: DeviceStream, error: unknown): number {
    const reason = error instanceof ProtocolViolation ? error.reasonCode : REASON.malformed;
    if (error instanceof ConnectRefused) socket.write(error.answer);
    // Of other codes it is known; this one stands for what the log has no room for, too.
    if (reason === REASON.quotaExceeded) this.#options.noteEnd(client, 'violation');
    const { id } = client as { readonly id: string | null }; // before CONNECT
    const who = { client: shortened(id ?? undefined), from: socket.remoteAddress, reason };
    this.#say(who, messageOf(error));
    return reason;
  }

  stop(): void {
    this.#lines.stop();
  }

  #say(who: object, why: string): void {
    this.count++;
    if (!this.#lines.admits()) return;
    this.#options.logger.warn({ event: 'client.violation', ...who }, `connection ended: ${why}`);
  }
}
