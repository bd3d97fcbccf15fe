import { LISTEN_LIMITS } from '../listen-limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { AedesClient, Deliver, ForwardedPacket } from './broker-aedes.ts';
import { onceClosed } from './broker-door.ts';
import { RefusalLine, shortened } from './refusal-line.ts';

type Done = () => void;

interface Reader {
  readonly client: AedesClient;
  /** Live messages that are waited for. */
  readonly waits: Set<Done>;
  /** When the wait began, or the last of them left. */
  sinceMs: number;
  /** It took too long, and nobody waits for it until all was taken that is meant for it. */
  lags: boolean;
}

/**
 * Subscribers that do not keep up. A publisher is read no faster than its subscribers read, but only for a
 * moment: aedes hands out a hundred messages at a time, so that one subscriber of `#` that never reads
 * would stop everybody. Then it lags: what is meant for it is kept up to a bound in memory. Beyond that
 * a message of QoS 0 is not sent to it; with one of QoS 1 or 2 its connection ends, so that a session that lasts
 * has it in its queue. Retained and queued messages, which only it waits for, are no part of this.
 */
export class SlowReaders {
  readonly #clock: Clock;
  readonly #line: RefusalLine;
  readonly #ends: (client: AedesClient) => void;
  readonly #readers = new Set<Reader>();
  #looks = false;
  #dropped = 0;

  /** `ends`: a client's connection is about to be ended over it. */
  constructor(
    options: { readonly clock: Clock; readonly logger: Logger },
    ends: (client: AedesClient) => void,
  ) {
    this.#ends = ends;
    this.#clock = options.clock;
    this.#line = new RefusalLine('subscriber.slow', options);
  }

  /** Messages that were not sent. */
  get dropped(): number {
    return this.#dropped;
  }

  watch(client: AedesClient): void {
    // Most devices never subscribe.
    let reader: Reader | undefined;
    const { deliver0, deliverQoS } = client;
    client.deliver0 = (packet, done) => {
      if (isOwn(packet)) deliver0(packet, done);
      else this.#deliver((reader ??= this.#begin(client)), 'spares', deliver0, packet, done);
    };
    client.deliverQoS = (packet, done) => {
      // aedes hands those of QoS 0 on to deliver0.
      if (isOwn(packet) || (packet as ForwardedPacket).qos === 0) deliverQoS(packet, done);
      else this.#deliver((reader ??= this.#begin(client)), 'endures', deliverQoS, packet, done);
    };
  }

  #begin(client: AedesClient): Reader {
    const reader: Reader = { client, waits: new Set(), sinceMs: 0, lags: false };
    onceClosed(client.conn, () => this.#letGo(reader));
    return reader;
  }

  #deliver(
    reader: Reader,
    whenLagging: 'spares' | 'endures',
    deliver: Deliver,
    packet: unknown,
    done: Done,
  ): void {
    if (reader.lags && reader.client.conn.writableLength === 0) this.#letGo(reader);
    if (reader.lags) {
      const isTaken = whenLagging === 'spares' ? this.#spares(reader) : this.#endures(reader);
      if (isTaken) deliver(packet, nothing);
      setImmediate(done);
      return;
    }
    const { waits } = reader;
    const once = (): void => {
      if (!waits.delete(once)) return;
      reader.sinceMs = this.#clock.monotonicMs();
      if (waits.size === 0 && !reader.lags) this.#readers.delete(reader);
      done();
    };
    if (waits.size === 0) {
      reader.sinceMs = this.#clock.monotonicMs();
      this.#readers.add(reader);
      if (!this.#looks) this.#lookLater();
    }
    waits.add(once);
    deliver(packet, once);
  }

  /** Room for one of QoS 0? */
  #spares({ client }: Reader): boolean {
    if (client.conn.writableLength < LISTEN_LIMITS.slowReaderBytes) return true;
    this.#dropped++;
    const about = { client: shortened(client.id) };
    this.#line.say(about, 'a subscriber does not keep up: messages of QoS 0 are not sent to it');
    return false;
  }

  /** The same for QoS 1 and 2. */
  #endures(reader: Reader): boolean {
    if (reader.client.conn.writableLength < LISTEN_LIMITS.slowReaderBytesMax) return true;
    this.#end(reader);
    return false;
  }

  #end(reader: Reader): void {
    const { client } = reader;
    const about = { client: shortened(client.id) };
    this.#line.say(about, 'connection ended: the subscriber does not keep up');
    this.#ends(client);
    client.conn.destroy();
    this.#letGo(reader);
  }

  readonly #look = (): void => {
    this.#looks = false;
    const nowMs = this.#clock.monotonicMs();
    for (const reader of this.#readers) {
      if (reader.lags) {
        if (reader.client.conn.writableLength === 0) this.#letGo(reader);
        continue;
      }
      if (nowMs - reader.sinceMs < LISTEN_LIMITS.slowReaderMs) continue;
      reader.lags = true;
      this.#release(reader);
    }
    this.#boundAll();
    if (this.#readers.size > 0) this.#lookLater();
  };

  #lookLater(): void {
    this.#looks = true;
    this.#clock.after(LISTEN_LIMITS.slowLookMs, this.#look);
  }

  /** All together: whoever has most waiting goes. */
  #boundAll(): void {
    const lagging = [...this.#readers].filter(({ lags }) => lags);
    const bytesOf = ({ client }: Reader): number => client.conn.writableLength;
    let bytes = lagging.reduce((sum, reader) => sum + bytesOf(reader), 0);
    if (bytes <= LISTEN_LIMITS.slowReadersBytes) return;
    for (const reader of lagging.toSorted((one, other) => bytesOf(other) - bytesOf(one))) {
      bytes -= bytesOf(reader);
      this.#end(reader);
      if (bytes <= LISTEN_LIMITS.slowReadersBytes) return;
    }
  }

  /** It caught up, or is gone. */
  #letGo(reader: Reader): void {
    reader.lags = false;
    this.#readers.delete(reader);
    this.#release(reader);
  }

  /** Each in its turn of the loop: within another's, messages overtake each other, and aedes drops those as repeats. */
  #release({ waits }: Reader): void {
    for (const done of waits) setImmediate(done);
  }
}

/** Retained messages, which nobody but the subscriber waits for, have no broker. */
function isOwn(packet: unknown): boolean {
  return (packet as ForwardedPacket).brokerId === null;
}

const nothing = (): void => {};
