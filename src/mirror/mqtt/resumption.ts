import { DefaultMessageIdProvider, type MqttClient, type Packet, Store } from 'mqtt';
import { PROGRESS } from './handshake-run.ts';
import type { Handshakes } from './handshakes.ts';
import type { Item, Sending } from './sending.ts';

/** Gives the client library the packet ids that we want. */
export class PacketIds extends DefaultMessageIdProvider {
  #wanted = 0;

  /** Of the packet that is published next; 0: any. */
  want(id: number): void {
    this.#wanted = id;
  }

  override allocate(): number {
    const id = this.#wanted;
    this.#wanted = 0;
    return id === 0 ? super.allocate() : id;
  }
}

/**
 * Where the client library would keep packets to send them again by itself, one answer after the other;
 * we do that. A PUBREL leaves when its `put` is answered.
 */
export class PacketStore extends Store {
  /** PUBREC came; `release` lets the PUBREL go. */
  onReceived: (id: number, release: () => void) => void = (_id, release) => release();

  override put(packet: Packet, done: (error?: Error) => void): this {
    if (packet.cmd === 'pubrel') this.onReceived(packet.messageId ?? 0, done);
    else done();
    return this;
  }

  override del(
    { messageId }: Pick<Packet, 'messageId'>,
    done: (error?: Error, packet?: Packet) => void,
  ): this {
    done(undefined, { messageId } as Packet);
    return this;
  }
}

/** What is left of the handshakes of earlier connections: those that only want their PUBREL. */
export class Resumption {
  readonly #handshakes: Handshakes;
  readonly #onReleased: (sending: Sending | undefined) => void;
  /** By id: unanswered PUBRELs, and who waits for them. */
  readonly #releasing = new Map<number, Sending | undefined>();
  /** Earlier connections left some. */
  #isResumed = false;

  constructor(handshakes: Handshakes, onReleased: (sending: Sending | undefined) => void) {
    this.#handshakes = handshakes;
    this.#onReleased = onReleased;
  }

  /** Unanswered ones. */
  get pending(): number {
    return this.#releasing.size;
  }

  /** Sends all PUBRELs again. */
  begin({ stream }: Pick<MqttClient, 'stream'>): void {
    this.#isResumed = this.#handshakes.isOpen;
    const ids = this.#handshakes.receivedIds();
    if (ids.length === 0) return;
    stream.cork();
    for (const id of ids) {
      this.#releasing.set(id, undefined);
      stream.write(pubrel(id));
    }
    stream.uncork();
  }

  /** True: it need not be sent. Its sending waits for it where it must. */
  isHad(sending: Sending, { place: { stream }, record: { offset } }: Item): boolean {
    const progress = this.#handshakes.progress(stream, offset);
    if (progress === PROGRESS.done) return true;
    if (progress !== PROGRESS.received) return false;
    this.#releasing.set(this.#handshakes.idOf(stream, offset), sending);
    sending.waiting++;
    return true;
  }

  heard(packet: Packet): void {
    const { cmd, messageId } = packet;
    // It counts what earlier connections sent. Where something goes before that comes up again, an alarm,
    // it would be too much in each session anew.
    if (this.#isResumed && isTooMuch(packet)) this.#handshakes.forget();
    // Whatever it says: one that does not know the id has released it before.
    if (cmd !== 'pubcomp' || messageId === undefined || !this.#releasing.has(messageId)) return;
    const sending = this.#releasing.get(messageId);
    this.#releasing.delete(messageId);
    this.#handshakes.released(messageId);
    this.#onReleased(sending);
  }
}

/** More than the far side's Receive Maximum (MQTT 5, section 2.4). */
function isTooMuch(packet: Packet): boolean {
  const isEither = packet.cmd === 'disconnect' || packet.cmd === 'pubrec';
  return isEither && packet.reasonCode === 0x93;
}

/** MQTT 5, section 3.6; the same in 3.1.1. */
function pubrel(id: number): Buffer {
  return Buffer.from([0x62, 2, id >> 8, id & 0xff]);
}
