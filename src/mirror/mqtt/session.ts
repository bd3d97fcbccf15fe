import type { MqttClient } from 'mqtt';
import { must } from '../../assert.ts';
import type { Coverages } from '../../coverage.ts';
import { GatelogError, messageOf } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Clock } from '../../time.ts';
import type { Liveness, Receipt, Rejection, UpstreamSession } from '../upstream.ts';
import type { Blame } from './blame.ts';
import { FirstRecords } from './first-records.ts';
import { isAside, type OwnRecords, type Place } from './own-records.ts';
import { type Publication, publicationOf, type PublicationRules } from './publication.ts';
import {
  blamesPacket,
  closedError,
  connectError,
  disconnectError,
  hex,
  isRefusal,
  refusalOf,
  silentError,
} from './reasons.ts';
import { Receipts } from './receipts.ts';
import { Repeats } from './repeat.ts';
import type { Handshakes } from './handshakes.ts';
import { type PacketIds, type PacketStore, Resumption } from './resumption.ts';
import type { Flight, SendWindow } from './send-window.ts';
import { inTurn, type Item, Sending } from './sending.ts';
import { SilenceWatch } from './silence.ts';
import { WriteTurns } from './write-turns.ts';

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
  /** What a small packet takes at most until it is answered, when none waits before it. */
  readonly smallMs: number;
  readonly ackMs: number;
  readonly keepaliveMs: number;
  /** Mirrors of this process with our client id. */
  readonly sameId?: readonly string[] | undefined;
  readonly blame: Blame;
  readonly handshakes: Handshakes;
  readonly ids: PacketIds;
  readonly store: PacketStore;
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
 * batches. What was not acknowledged is sent again by the next session; what was is not, though no
 * position covers it yet; and QoS 2 handshakes go on where they stood (handshakes.ts).
 */
export class MqttSession implements UpstreamSession {
  readonly positions: Coverages = new Map();
  readonly patienceMs: number;
  readonly broken: Promise<never>;
  readonly #options: MqttSessionOptions;
  readonly #places: ReadonlyMap<StreamId, Place>;
  readonly #sendings: Sending[] = [];
  /** By name, oldest first. */
  readonly #inFlight = new Map<string, Out>();
  #breakWith: (error: Error) => void = () => {};
  #over: Error | undefined;
  readonly #firsts: FirstRecords;
  readonly #resumption: Resumption;
  readonly #turns: WriteTurns;
  readonly #repeats = new Repeats();
  readonly #silence: SilenceWatch;
  /** A ping is out beside the library's own. */
  #probing = false;
  #heardMs: number;
  readonly #receipts: Receipts;

  constructor(options: MqttSessionOptions) {
    this.#options = options;
    this.patienceMs = options.ackMs;
    const { client } = options;
    this.#heardMs = options.clock.monotonicMs();
    this.#receipts = new Receipts(client, options.window, options.smallMs, options.clock);
    this.#silence = new SilenceWatch(
      options.clock,
      options.ackMs,
      () => this.#over === undefined && (this.#due > 0 || this.#probing),
      () => this.#fail(silentError(options.where, options.ackMs, this.#due)),
    );
    this.#places = new Map(options.places.map((place) => [place.stream, place]));
    this.#firsts = new FirstRecords(options.own);
    this.#turns = new WriteTurns(client, (budget) => this.#fill(budget));
    this.#resumption = new Resumption(options.handshakes, (sending) => {
      this.#silence.progress();
      this.#settled(sending === undefined ? [] : [sending]);
    });
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
      const reason = packet.properties?.reasonString ?? '';
      this.#fail(disconnectError(options.where, reasonCode, reason, options.sameId));
    });
    client.on('close', () => this.#fail(closedError(options.where, options.sameId)));
    // The library gives the acknowledgement to nobody else; its publish's callback follows.
    client.on('packetreceive', (packet) => {
      this.#heardMs = options.clock.monotonicMs();
      this.#probing = false;
      this.#repeats.heard(packet);
      if (this.#over === undefined) this.#resumption.heard(packet);
    });
    options.store.onReceived = (id, release) => {
      void this.#noted(options.handshakes.received(id), () => corked(client, release));
    };
    this.#resumption.begin(client);
    if (this.#due > 0) this.#silence.begin();
  }

  get liveness(): Liveness {
    return { answeredMs: this.#heardMs, probedAfterMs: this.#options.keepaliveMs };
  }

  probe(): void {
    if (this.#over !== undefined) return;
    this.#probing = true;
    this.#options.client.sendPing();
    if (this.#due === 0) this.#silence.begin();
  }

  /** Answers. */
  get #due(): number {
    return this.#inFlight.size + this.#resumption.pending;
  }

  send(batch: readonly Slice[]): Promise<Receipt> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const settled = Promise.withResolvers<Receipt>();
    const placeOf = (at: StreamId): Place => must(this.#places.get(at), 'a stream of this session');
    const { handshakes } = this.#options;
    const sending = new Sending(batch, { placeOf, isHad: handshakes.isHad }, settled);
    sending.isFree = !this.#sendings.some((earlier) => earlier.sharesStreams(sending));
    this.#sendings.push(sending);
    this.#takeUp(sending, batch);
    return settled.promise;
  }

  #takeUp(sending: Sending, batch: readonly Slice[]): void {
    const { handshakes, clock } = this.#options;
    const taken = handshakes.takeUp(batch);
    const ready = (): void => {
      sending.isReady = true;
      this.#turns.plan();
    };
    if (taken === undefined) return ready();
    void this.#noted(taken, (hasIds) => {
      if (hasIds) return ready();
      clock.after(MIRROR_LIMITS.mqttIdsWaitMs, () => {
        if (this.#over === undefined) this.#takeUp(sending, batch);
      });
    });
  }

  async close(): Promise<void> {
    const { client, clock, where, own, places, handshakes } = this.#options;
    const graceful = this.#over === undefined && this.#due === 0;
    this.#over ??= new GatelogError('UPSTREAM_UNREACHABLE', `${where}: the session was closed`);
    this.#rejectAll(this.#over);
    own.left(places);
    const kept = handshakes.settled().catch(() => {}); // As it was stored before, it is right, too.
    const ended = new AbortController();
    // Where nothing is left to go on with the far side need not keep the session.
    const properties = handshakes.isOpen ? {} : { sessionExpiryInterval: 0 };
    client.end(!graceful, { properties }, () => ended.abort());
    await clock.sleep(LIMITS.closeMs, ended.signal);
    if (!ended.signal.aborted) client.stream.destroy();
    await kept;
  }

  /** Publishes as the window lets. What is left of the budget. */
  #fill(budget: number): number {
    if (this.#over !== undefined) return budget;
    let left = budget;
    for (const sending of inTurn(this.#sendings)) {
      if (sending.isReady) left = this.#fillFrom(sending, left);
      if (!sending.exhausted) break;
    }
    this.#complete();
    return left;
  }

  /** What is left of the budget. Ends at the budget, when the window is full, or all is sent. */
  #fillFrom(sending: Sending, budget: number): number {
    for (let left = budget; left > 0;) {
      if (!this.#hasRoom) return left;
      const first = this.#firsts.next();
      if (first !== undefined) {
        this.#write(first.sending, first.item, first.publication);
        left--;
        continue;
      }
      if (this.#firsts.pending || this.#lookForFirsts(sending)) return left;
      const item = sending.next();
      if (item === undefined) return left;
      if (this.#resumption.isHad(sending, item)) continue;
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
        return publication === undefined ? [] : [{ sending, item, publication }];
      });
      if (ready.length === 0) continue;
      void this.#noted(this.#firsts.begin(ready), () => this.#turns.plan());
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
    const publication =
      condemned === undefined
        ? publicationOf(record, topic, prefix + String(offset), rules)
        : { refused: condemned };
    if (!('refused' in publication)) return publication;
    const { refused: reason, oversize = false } = publication;
    this.#reject(sending, { stream, offset, reason, oversize });
    return undefined;
  }

  #reject(sending: Sending, rejection: Rejection): void {
    this.#options.handshakes.refused(rejection.stream, rejection.offset);
    sending.rejected.push(rejection);
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
    const { client, clock, window, qos, handshakes, ids } = this.#options;
    const { topic, payload, retain, properties } = publication;
    const { place, record, name } = item;
    const bytes = PACKET_BYTES + topic.length + payload.length + record.headers.length;
    if (this.#due === 0) this.#silence.begin();
    const out = { sending, item, flight: window.sent(bytes, clock.monotonicMs()) };
    this.#inFlight.set(name, out);
    sending.waiting++;
    place.sent = Math.max(place.sent, record.offset);
    sending.begunMs ??= clock.monotonicMs();
    const { id, dup } = handshakes.sent(place.stream, record.offset);
    ids.want(id);
    const options = {
      qos,
      retain,
      dup,
      // The library's type knows only one object for all pairs; its encoder takes a list.
      ...(properties === undefined ? {} : { properties: properties as object }),
    };
    client.publish(topic, payload, options, (error, packet) => {
      this.#acked(out, error, packet?.messageId);
    });
  }

  #acked({ sending, item, flight }: Out, error: unknown, id: number | undefined): void {
    const last = this.#repeats.take(id);
    if (this.#over !== undefined) return;
    const { own, window, clock, handshakes } = this.#options;
    const { place, record, name } = item;
    this.#silence.progress();
    this.#inFlight.delete(name);
    window.answered(flight, clock.monotonicMs());
    if (last !== undefined && own.isForeign(place, last)) {
      void this.#foreign(place, record.offset, last);
      return;
    }
    const { stream } = place;
    const refused = isRefusal(error, handshakes.isHad(stream, record.offset));
    if (refused && !this.#refused(sending, place, record.offset, error)) return;
    if (!refused) handshakes.done(stream, record.offset);
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
    this.#turns.plan();
  }

  /** The far side has others under our offsets. No receipt covers the record meanwhile. */
  async #foreign(place: Place, offset: number, last: number): Promise<void> {
    const noted = this.#options.own.foreign(this.#options, place, offset, last);
    await this.#noted(noted, (error) => this.#fail(error));
  }

  /** False when the session is over. */
  #refused(sending: Sending, { stream, topic }: Place, offset: number, error: unknown): boolean {
    const refusal = refusalOf(this.#options.where, topic, error);
    if (refusal instanceof Error) this.#fail(refusal);
    else this.#reject(sending, { stream, offset, reason: refusal });
    return !(refusal instanceof Error);
  }

  #complete(): void {
    for (;;) {
      const first = this.#sendings[0];
      if (first === undefined || !first.exhausted || first.waiting > 0) return;
      this.#sendings.shift();
      first.resolve(this.#receipts.of(first));
    }
  }

  #blame(why: string): void {
    if (this.#over === undefined) this.#options.blame.disconnected([...this.#inFlight.keys()], why);
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

/** Small packets that are written in one turn leave together. */
function corked({ stream }: Pick<MqttClient, 'stream'>, write: () => void): void {
  stream.cork();
  write();
  process.nextTick(() => stream.uncork());
}

/** What a packet has beside topic, payload and headers, about. */
const PACKET_BYTES = 64;

const TAKEN = 'the far side has another record under its offset';
