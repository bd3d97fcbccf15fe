import { SESSION_LIMITS } from '../session-limits.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, type Timer, untilBeat } from '../time.ts';
import type { WhoIs } from './acl-filter.ts';
import type { Access } from './acl.ts';
import { type AedesClient, type AedesHandle, askedCleanStart } from './broker-aedes.ts';
import { onceClosed } from './broker-door.ts';
import type { SessionPersistence } from './broker-persistence.ts';
import type { Session } from './broker-session.ts';
import { Wills } from './broker-wills.ts';

export interface SessionsOptions {
  readonly persistence: SessionPersistence;
  readonly clock: Clock;
  /** Whether what the wall clock says of the time since a session was left can be believed. */
  readonly isClockSound: () => boolean;
  readonly willGraceMs?: number | undefined;
  readonly isStandIn?: boolean;
  readonly logger: Logger;
}

/**
 * A filter that matches nothing that anybody can publish. aedes says "session present" only for a
 * session with subscriptions, and a device that only publishes would be told that its session is
 * gone, upon which an MQTT 5 device drops what it has in flight [MQTT-3.2.2-5].
 */
export const PRESENT = '$SYS/session';
const NEVER_EXPIRES = 0xff_ff_ff_ff;

/**
 * When sessions begin and end. One that is to outlive its connection is on the disk before CONNACK;
 * aedes ends those whose time is over while we run, and this those that were left in another life.
 */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #persistence: SessionPersistence;
  /** Begun by a CONNECT that was not answered yet: not "present". */
  readonly #fresh = new Set<Session>();
  /** Of sessions that aedes does not end, by client id: monotonic time at which they do. */
  readonly #ends = new Map<string, number>();
  readonly #held = new WeakMap<object, Session>();
  #timer: Timer | undefined;
  #wills: Wills | undefined;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#persistence = options.persistence;
    this.#persistence.store.onEnd((session) => this.#fresh.delete(session));
    this.#markPresent();
    this.#rememberEnds();
  }

  watch({ broker, inner }: AedesHandle): void {
    this.#wills = new Wills(inner, this.#persistence.store);
    broker.on('client', (client) => this.#connected(client as unknown as AedesClient));
    broker.on('clientDisconnect', (client) => this.#left(client as unknown as AedesClient));
    this.#wills.schedule(this.#options.willGraceMs);
  }

  /**
   * What it has stands in a store that is not there: told that its session is gone it would drop its half of it
   * [MQTT-3.2.2-5]. Also who only wants to end a session with this connection.
   */
  refuses(client: AedesClient): boolean {
    const isLasting = !client.clean || !askedCleanStart(client);
    return this.#options.isStandIn === true && isLasting;
  }

  /** At CONNECT, once the client may. */
  async begin(client: AedesClient, access: Access | undefined, person: WhoIs): Promise<void> {
    const { store } = this.#persistence;
    let known = store.session(client.id);
    if (known !== undefined && askedCleanStart(client)) {
      this.#wills?.release(client.id, known.left === undefined);
      store.end(client.id);
      if (client.clean) await this.#persistence.durable();
      known = undefined;
    }
    if (known !== undefined) {
      this.#hold(known, client);
      known.access = access;
      this.#own(known, person);
      // One that goes on and ends with this connection (MQTT 5) is given what is queued for it, too.
      client.clean = false;
    }
    if (client.clean || known !== undefined) return;
    const session = store.ensure(client.id, expiryOf(client));
    session.access = access;
    this.#hold(session, client);
    this.#own(session, person);
    this.#fresh.add(session);
    await this.#persistence.durable();
  }

  /** That packet id was sent before: MQTT wants its message marked [MQTT-3.3.1-1]. */
  isResent(clientId: string, packetId: number): boolean {
    return this.#persistence.store.session(clientId)?.queue.isResent(packetId) === true;
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#persistence.destroy();
  }

  #markPresent(): void {
    const persistence = this.#persistence;
    const find = persistence.subscriptionsByClient.bind(persistence);
    persistence.subscriptionsByClient = async (client) => {
      const found = await find(client);
      const session = persistence.store.session(client.id);
      if (found.length > 0 || session === undefined || this.#fresh.has(session)) return found;
      return [{ topic: PRESENT, qos: 0 }];
    };
    // At Clean Start aedes ends the session that was there; we did, and this one is the next.
    const clean = persistence.cleanSubscriptions.bind(persistence);
    persistence.cleanSubscriptions = async (client) => {
      const session = persistence.store.session(client.id);
      if (session === undefined || !this.#fresh.has(session)) await clean(client);
    };
  }

  #hold(session: Session, client: AedesClient): void {
    if (this.#held.get(client) === session) return;
    this.#held.set(client, session);
    session.holders++;
    onceClosed(client.conn, () => {
      session.holders--;
      if (session.holders === 0 && this.#fresh.has(session)) this.#neverCame(session, client);
    });
  }

  /** It hung up before CONNACK: aedes, which never had it for connected, does not end such a session. */
  #neverCame(session: Session, client: AedesClient): void {
    const { clock } = this.#options;
    const expiry = expiryOf(client);
    this.#note(session, expiry, clock.nowMs());
    if (expiry === null) return;
    this.#ends.set(session.clientId, clock.monotonicMs() + expiry * 1000);
    if (this.#timer === undefined) this.#checkLater();
  }

  #connected(client: AedesClient): void {
    this.#ends.delete(client.id);
    if (client.clean) return;
    const session = this.#persistence.store.ensure(client.id, expiryOf(client));
    this.#hold(session, client);
    this.#fresh.delete(session);
    this.#note(session, expiryOf(client), undefined);
  }

  #own(session: Session, { user, roles = [] }: WhoIs): void {
    if (session.owner === user && session.roles.join('\n') === roles.join('\n')) return;
    session.owner = user;
    session.roles = roles;
    this.#persistence.store.noteRecord(session);
  }

  /** Its time may have been changed by DISCONNECT. */
  #left(client: AedesClient): void {
    const session = this.#persistence.store.session(client.id);
    if (session === undefined || client.sessionExpiryInterval === 0) return;
    this.#note(session, expiryOf(client), this.#options.clock.nowMs());
  }

  #note(session: Session, expiry: number | null, left: number | undefined): void {
    if (session.expiry === expiry && session.left === left) return;
    session.expiry = expiry;
    session.left = left;
    this.#persistence.store.noteRecord(session);
  }

  #rememberEnds(): void {
    const { clock, isClockSound } = this.#options;
    const isSound = isClockSound();
    for (const { clientId, expiry, left } of this.#persistence.store.sessions()) {
      if (expiry === null) continue;
      const away = isSound && left !== undefined ? Math.max(clock.nowMs() - left, 0) : 0;
      this.#ends.set(clientId, clock.monotonicMs() + expiry * 1000 - away);
    }
    this.#check();
  }

  readonly #check = (): void => {
    const { clock, logger } = this.#options;
    const now = clock.monotonicMs();
    this.#timer = undefined;
    for (const [client, end] of this.#ends) {
      if (end > now) continue;
      this.#ends.delete(client);
      this.#persistence.store.end(client);
      logger.debug({ client }, 'a session ended: its time was over');
    }
    if (this.#ends.size > 0) this.#checkLater();
  };

  #checkLater(): void {
    const { clock } = this.#options;
    this.#timer = clock.after(untilBeat(clock, SESSION_LIMITS.expiryCheckMs), this.#check);
  }
}

function expiryOf({ sessionExpiryInterval }: AedesClient): number | null {
  return sessionExpiryInterval >= NEVER_EXPIRES ? null : sessionExpiryInterval;
}
