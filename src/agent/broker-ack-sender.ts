import type { Duplex } from 'node:stream';
import {
  type AckRound,
  ACK,
  Acks,
  encodeAckWithReason,
  encodeReasonAck,
  REFUSED,
  UNREADABLE,
  UNRETAINED,
} from './broker-acks.ts';
import { type AedesClient, takesProperties } from './broker-aedes.ts';
import type { AckOutlet } from './broker-ack-line.ts';
import { HOLD, type Holds } from './broker-holds.ts';
import { REASON } from './broker-reasons.ts';

const NOT_RETAINED = 'stored and delivered, but not retained: there is no room for it';

/** A connection's way out for acknowledgements: those of one turn of the loop leave in one write. */
export class AckSender implements AckOutlet {
  readonly #acks = new Acks();
  readonly #round: AckRound;
  readonly #client: AedesClient;
  readonly #socket: Duplex;
  readonly #holds: Holds;
  #ended = false;
  /** What is said of a number that can't be read. */
  numberExpected = '';

  constructor(round: AckRound, client: AedesClient, socket: Duplex, holds: Holds) {
    this.#round = round;
    this.#client = client;
    this.#socket = socket;
    this.#holds = holds;
  }

  /** What is there leaves; nothing after it. */
  end(): void {
    this.flush();
    this.#ended = true;
  }

  acknowledge(code: number, last?: number): void {
    if (this.#ended) return;
    if (code >= UNRETAINED) {
      code -= UNRETAINED;
      // A PUBREC that refuses would end the handshake, and its packet id stands for a message that was taken.
      if (this.#client.version === 5 && ((code >>> 16) & 0xff) === ACK.puback) {
        this.#sayUnretained(code);
        return;
      }
    }
    if (code >= UNREADABLE && takesProperties(this.#client)) {
      this.say(encodeAckWithReason(code, this.numberExpected));
      return;
    }
    if (code >= UNREADABLE) code -= UNREADABLE;
    if (code >= REFUSED) {
      this.say(encodeReasonAck(code, REASON.notAuthorized));
      return;
    }
    const told = last !== undefined && takesProperties(this.#client) ? last : undefined;
    this.#round.sent++;
    if (this.#acks.push(code, told) === 1) this.#round.add(this);
  }

  #sayUnretained(code: number): void {
    const { quotaExceeded } = REASON;
    this.say(
      takesProperties(this.#client)
        ? encodeAckWithReason(code, NOT_RETAINED, quotaExceeded)
        : encodeReasonAck(code, quotaExceeded),
    );
  }

  /** Behind the acknowledgements that are on their way. */
  say(bytes: Buffer): void {
    this.flush();
    this.#round.sent++;
    this.#write(bytes);
  }

  flush(): void {
    const bytes = this.#acks.take();
    if (bytes === undefined || this.#ended || this.#socket.destroyed) return;
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    this.#socket.write(bytes);
    if (!this.#socket.writableNeedDrain || this.#holds.has(HOLD.acks)) return;
    this.#holds.add(HOLD.acks); // the peer does not read its acknowledgements
    this.#socket.once('drain', () => this.#holds.remove(HOLD.acks));
  }
}
