import type { MqttClient } from 'mqtt';
import { must } from '../../assert.ts';
import type { Coverages } from '../../coverage.ts';
import { GatelogError, messageOf } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Clock } from '../../time.ts';
import { formatDuration } from '../../units.ts';
import type { Liveness, Receipt, UpstreamSession } from '../upstream.ts';
import type { Blame } from './blame.ts';
import { FirstRecords } from './first-records.ts';
import { isAside, type OwnRecords, type Place } from './own-records.ts';
import { type Publication, publicationOf, type PublicationRules } from './publication.ts';
import {
  blamesPacket,
  connectError,
  describe,
  disconnectError,
  hex,
  reasonCodeOf,
  TopicRefused,
  verdictOf,
} from './reasons.ts';
import { lastOf } from './repeat.ts';
import type { Flight, SendWindow } from './send-window.ts';
import { type Item, Sending } from './sending.ts';
import { SilenceWatch } from './silence.ts';

export interface MqttSessionOptions {
  readonly client: MqttClient;
  readonly where: string;
  readonly places: readonly Place[];
  readonly own: OwnRecords;
  readonly gateway: string;
  readonly incarnation: string;
  readonly rules: PublicationRules;
  readonly qos: 1 | 2;
  readonly window: SendWindow;
  readonly ackMs: number;
  readonly keepaliveMs: number;
  readonly blame: Blame;
  readonly clock: Clock;
}

/** Published and not answered. */
interface Out {
  readonly sending: Sending;
  readonly item: Item;
  readonly flight: Flight;
}

/**
 * Publishes batches over one connection, in order, with a window of unanswered packets that spans
 * batches. The connection is never resumed: what was not acknowledged is sent
 * again by the next session, from the position.
 */
export class MqttSession implements UpstreamSession {
  readonly positions: Coverages = new Map();
  readonly broken: Promise<never>;
  readonly #options: MqttSessionOptions;
  readonly #places: ReadonlyMap<StreamId, Place>;
  readonly #sendings: Sending[] = [];
  /** By name, oldest first. */
  readonly #inFlight = new Map<string, Out>();
  #breakWith: (error: Error) => void = () => {};
  #over: Error | undefined;
  #filling = false;
  readonly #firsts: FirstRecords;
  /** By packet id: it was a repeat, and this the far side has last. */
  readonly #lasts = new Map<number, number>();
  /** The socket is full: when it has drained there is more to fill in. */
  #draining = false;
  readonly #silence: SilenceWatch;
  /** A ping is out beside the library's own. */
  #probing = false;
  #heardMs: number;
  #bytesReported = 0;

  constructor(options: MqttSessionOptions) {
    this.#options = options;
    const { client } = options;
    this.#heardMs = options.clock.monotonicMs();
    this.#silence = new SilenceWatch(
      options.clock,
      options.ackMs,
      () => this.#over === undefined && (this.#inFlight.size > 0 || this.#probing),
      () => this.#fail(this.#silentError()),
    );
    this.#places = new Map(options.places.map((place) => [place.stream, place]));
    this.#firsts = new FirstRecords(options.own);
    this.broken = new Promise((_resolve, reject) => {
      this.#breakWith = reject;
    });
    this.broken.catch(() => {}); // A session may break before anybody looks.
    client.on('error', (error) => {
      // Mosquitto answers an oversized message with a code that MQTT 5 does not allow in a PUBACK;
      // the library's parser stops there and drops the packet's id with it.
      if (error.message.startsWith('Invalid puback')) this.#blame(error.message);
      this.#fail(connectError(options.where, error));
    });
    client.on('disconnect', (packet) => {
      const reasonCode = packet.reasonCode ?? 0;
      if (blamesPacket(reasonCode)) this.#blame(`reason ${hex(reasonCode)}`);
      this.#fail(disconnectError(options.where, reasonCode, packet.properties?.reasonString ?? ''));
    });
    client.on('close', () => this.#fail(this.#closedError()));
    // The library gives the acknowledgement to nobody else; its publish's callback follows.
    client.on('packetreceive', (packet) => {
      this.#heardMs = options.clock.monotonicMs();
      this.#probing = false;
      const last = lastOf(packet);
      if (last !== undefined && packet.messageId !== undefined) {
        this.#lasts.set(packet.messageId, last);
      }
    });
  }

  get liveness(): Liveness {
    return { answeredMs: this.#heardMs, probedAfterMs: this.#options.keepaliveMs };
  }

  get patienceMs(): number {
    return this.#options.ackMs;
  }

  probe(): void {
    if (this.#over !== undefined) return;
    this.#probing = true;
    this.#options.client.sendPing();
    if (this.#inFlight.size === 0) this.#silence.begin();
  }

  send(batch: readonly Slice[]): Promise<Receipt> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const settled = Promise.withResolvers<Receipt>();
    const placeOf = (stream: StreamId): Place =>
      must(this.#places.get(stream), 'a stream of this session');
    this.#sendings.push(new Sending(batch, placeOf, settled));
    this.#fill();
    return settled.promise;
  }

  async close(): Promise<void> {
    const { client, clock, where, own, places } = this.#options;
    const graceful = this.#over === undefined && this.#inFlight.size === 0;
    this.#over ??= new GatelogError('UPSTREAM_UNREACHABLE', `${where}: the session was closed`);
    this.#rejectAll(this.#over);
    own.left(places);
    const ended = new AbortController();
    const end = (force: boolean): void => {
      client.end(force, {}, () => ended.abort());
    };
    end(!graceful);
    await clock.sleep(LIMITS.closeMs, ended.signal);
    if (!ended.signal.aborted) client.stream.destroy();
  }

  /**
   * Publishes as the window lets, in the next turn of the event loop, so that writes merge. A few
   * packets a turn, and none while the socket is full: packets that wait in the stream's queue
   * outlive the young generation (measured, 300,000 records: 5.2 s of processor time become 3.8).
   */
  #fill(): void {
    if (this.#filling || this.#draining) return;
    this.#filling = true;
    setImmediate(() => {
      this.#filling = false;
      if (this.#over !== undefined) return;
      const { stream } = this.#options.client;
      if (stream.writableNeedDrain) {
        this.#draining = true;
        stream.once('drain', () => {
          this.#draining = false;
          this.#fill();
        });
        return;
      }
      stream.cork();
      let budget: number = LIMITS.mqttPacketsPerTurn;
      for (const sending of this.#sendings) {
        budget = this.#fillFrom(sending, budget);
        if (!sending.exhausted) break;
      }
      stream.uncork();
      this.#complete();
      if (budget === 0) this.#fill();
    });
  }

  /** What is left of the budget. Ends at the budget, when the window is full, or all is sent. */
  #fillFrom(sending: Sending, budget: number): number {
    for (let left = budget; left > 0;) {
      if (!this.#hasRoom) return left;
      const first = this.#firsts.next();
      if (first !== undefined) {
        this.#write(sending, first.item, first.publication);
        left--;
        continue;
      }
      if (this.#firsts.pending || this.#lookForFirsts(sending)) return left;
      const item = sending.next();
      if (item === undefined) return left;
      const publication = this.#publicationOf(sending, item);
      if (publication !== undefined) this.#write(sending, item, publication);
      left--;
    }
    return 0;
  }

  get #hasRoom(): boolean {
    const { window, blame } = this.#options;
    return blame.careful ? this.#inFlight.size === 0 : window.hasRoom;
  }

  /** True when first records of partitions must be noted and answered before the rest goes. */
  #lookForFirsts(sending: Sending): boolean {
    while (!sending.hasNoFirsts) {
      const items = sending.firsts();
      // A refusal proves nothing: the next one is the first then.
      const ready = items.flatMap((item) => {
        const publication = this.#publicationOf(sending, item);
        return publication === undefined ? [] : [{ item, publication }];
      });
      if (ready.length === 0) continue;
      void this.#noted(this.#firsts.begin(ready), () => this.#fill());
      return true;
    }
    return false;
  }

  /** undefined: it is refused, which is noted. */
  #publicationOf(sending: Sending, { place, record, name }: Item): Publication | undefined {
    const { blame, rules } = this.#options;
    const { stream, topic, prefix } = place;
    const { offset } = record;
    const condemned = isAside(place, offset) ? TAKEN : blame.take(name);
    if (condemned !== undefined) {
      sending.rejected.push({ stream, offset, reason: condemned });
      return undefined;
    }
    const publication = publicationOf(record, topic, prefix + String(offset), rules);
    if (!('refused' in publication)) return publication;
    const { refused: reason, oversize = false } = publication;
    sending.rejected.push({ stream, offset, reason, oversize });
    return undefined;
  }

  /** Goes on when what had to be durable is, and the session is not over. */
  async #noted<T>(durable: Promise<T>, then: (noted: T) => void): Promise<void> {
    let noted: T;
    try {
      noted = await durable;
    } catch (error) {
      const { where } = this.#options;
      const text = `${where}: what is sent could not be noted: ${messageOf(error)}`;
      this.#fail(new GatelogError('STORE_WRITE_FAILED', text, { cause: error }));
      return;
    }
    if (this.#over === undefined) then(noted);
  }

  #write(sending: Sending, item: Item, publication: Publication): void {
    const { client, clock, window, qos } = this.#options;
    const { topic, payload, retain, properties } = publication;
    const { place, record, name } = item;
    const bytes = PACKET_BYTES + topic.length + payload.length + record.headers.length;
    if (this.#inFlight.size === 0) this.#silence.begin();
    const out = { sending, item, flight: window.sent(bytes, clock.monotonicMs()) };
    this.#inFlight.set(name, out);
    sending.waiting++;
    place.sent = Math.max(place.sent, record.offset);
    const options = {
      qos,
      retain,
      // The library's type knows only one object for all pairs; its encoder takes a list.
      ...(properties === undefined ? {} : { properties: properties as object }),
    };
    client.publish(topic, payload, options, (error, packet) => {
      this.#acked(out, error, packet?.messageId);
    });
  }

  #acked({ sending, item, flight }: Out, error: unknown, id: number | undefined): void {
    const last = id === undefined ? undefined : this.#lasts.get(id);
    if (id !== undefined) this.#lasts.delete(id);
    if (this.#over !== undefined) return;
    const { own, window, clock } = this.#options;
    const { place, record, name } = item;
    this.#silence.progress();
    this.#inFlight.delete(name);
    window.answered(flight, clock.monotonicMs());
    if (last !== undefined && own.isForeign(place, last)) {
      void this.#foreign(place, record.offset, last);
      return;
    }
    const refused = error !== undefined && error !== null;
    if (refused && !this.#refused(sending, place, record.offset, error)) return;
    if (!this.#firsts.has(item)) {
      this.#settled([sending]);
      return;
    }
    const answered = this.#firsts.answered(item, sending, !refused);
    if (answered !== undefined) {
      void this.#noted(answered.proved, () => this.#settled(answered.sendings));
    }
  }

  #settled(sendings: readonly Sending[]): void {
    for (const sending of sendings) {
      sending.waiting--;
      this.#options.blame.acked();
    }
    this.#complete();
    this.#fill();
  }

  /** The far side has others under our offsets. No receipt covers the record meanwhile. */
  async #foreign(place: Place, offset: number, last: number): Promise<void> {
    const noted = this.#options.own.foreign(this.#options, place, offset, last);
    await this.#noted(noted, (error) => this.#fail(error));
  }

  /** False when the session is over. */
  #refused(sending: Sending, place: Place, offset: number, error: unknown): boolean {
    const { where } = this.#options;
    const { stream, topic } = place;
    const reasonCode = reasonCodeOf(error);
    if (reasonCode === undefined) {
      this.#fail(this.#closedError());
      return false;
    }
    const text = `${describe(error)} (${hex(reasonCode)})`;
    switch (verdictOf(reasonCode)) {
      case 'record':
        sending.rejected.push({ stream, offset, reason: `the far side refused it: ${text}` });
        return true;
      case 'topic': {
        this.#fail(new TopicRefused(topic, `${where}: refused a record of ${topic}: ${text}`));
        return false;
      }
      case 'session':
        this.#fail(new GatelogError('UPSTREAM_UNREACHABLE', `${where}: ${text}`));
        return false;
    }
  }

  #complete(): void {
    for (;;) {
      const first = this.#sendings[0];
      if (first === undefined || !first.exhausted || first.waiting > 0) return;
      this.#sendings.shift();
      first.resolve({ rejected: first.rejected, bytesSent: this.#newBytes() });
    }
  }

  #newBytes(): number {
    const { stream } = this.#options.client;
    const written = 'bytesWritten' in stream ? Number(stream.bytesWritten) : 0;
    const fresh = written - this.#bytesReported;
    this.#bytesReported = written;
    return fresh;
  }

  #silentError(): GatelogError {
    const { where, ackMs } = this.#options;
    const { size } = this.#inFlight;
    const due = size === 0 ? 'a ping is unanswered' : `${size} acknowledgements are due`;
    const text = `${where}: ${due}, and none came for ${formatDuration(ackMs)}: the link swallows what is sent, or the far side stands still`;
    return new GatelogError('UPSTREAM_UNCERTAIN', text);
  }

  #blame(why: string): void {
    if (this.#over === undefined) this.#options.blame.disconnected([...this.#inFlight.keys()], why);
  }

  #closedError(): GatelogError {
    const { where } = this.#options;
    return new GatelogError('UPSTREAM_UNREACHABLE', `${where}: the connection was closed`);
  }

  #fail(error: Error): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#silence.end();
    this.#rejectAll(error);
    this.#breakWith(error);
  }

  #rejectAll(error: Error): void {
    for (const sending of this.#sendings) sending.reject(error);
    this.#sendings.length = 0;
  }
}

/** What a packet has beside topic, payload and headers, about. */
const PACKET_BYTES = 64;

const TAKEN = 'the far side has another record under its offset';
