import { LIMITS } from '../limits.ts';
import type { AedesPersistence } from './broker-aedes.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';

/**
 * What the agent itself keeps of a session: inbound QoS 2 (method B of MQTT 5, section 4.3.3): which packet ids were taken
 * and not yet released. It outlives the connection when the session does, so that a resend after
 * a reconnect is known. Kept in memory: a restart of the agent forgets it.
 */
export class Qos2Session {
  /** Packet id → whether its record is durable. */
  readonly #open = new Map<number, boolean>();
  /** Of those open whose record was a repeat: what the PUBREC said, for it may have to be said again. */
  readonly #lasts = new Map<number, number>();

  /** undefined: a new message; else whether the one taken before is durable. */
  taken(id: number): boolean | undefined {
    return this.#open.get(id);
  }

  take(id: number): void {
    if (this.#open.size >= LIMITS.inboundQos2Window) {
      throw new ProtocolViolation(
        REASON.receiveMaximumExceeded,
        `more than ${LIMITS.inboundQos2Window} QoS 2 messages are open in one session`,
      );
    }
    this.#open.set(id, false);
  }

  /** `last`: it was a repeat of a gateway's, and this we have last of its source. Gives what is known of that. */
  durable(id: number, last: number | undefined): number | undefined {
    if (!this.#open.has(id)) return last;
    this.#open.set(id, true);
    if (last !== undefined) this.#lasts.set(id, last);
    return this.#lasts.get(id);
  }

  /** PUBREL, or a failed append. False when there was none. */
  release(id: number): boolean {
    this.#lasts.delete(id);
    return this.#open.delete(id);
  }
}

/**
 * A filter that matches nothing that anybody can publish. aedes says "session present" only for a
 * session with subscriptions, and a device that only publishes would be told that its session is
 * gone, upon which an MQTT 5 device drops what it has in flight [MQTT-3.2.2-5].
 */
const MARKER = '$SYS/session';

/** The sessions by client id; those without a connection are bounded, oldest forgotten. */
export class Qos2Sessions {
  readonly #sessions = new Map<string, Qos2Session>();

  watch(persistence: AedesPersistence): void {
    const find = persistence.subscriptionsByClient.bind(persistence);
    persistence.subscriptionsByClient = async (client) => {
      const found = await find(client);
      if (found.length > 0 || !this.#sessions.has(client.id)) return found;
      return [{ topic: MARKER, qos: 0 }];
    };
  }

  /** Continues the client's session, or begins one. */
  open(clientId: string, fresh: boolean): Qos2Session {
    const known = fresh ? undefined : this.#sessions.get(clientId);
    const session = known ?? new Qos2Session();
    this.#sessions.delete(clientId);
    this.#sessions.set(clientId, session);
    return session;
  }

  /** The connection ended. `keep`: the session outlives it. */
  leave(clientId: string, session: Qos2Session, keep: boolean): void {
    if (this.#sessions.get(clientId) !== session) return; // taken over meanwhile
    if (!keep) this.#sessions.delete(clientId);
    while (this.#sessions.size > LIMITS.mqttSessions) {
      const [oldest] = this.#sessions.keys();
      if (oldest === undefined) return;
      this.#sessions.delete(oldest);
    }
  }

  forget(clientId: string): void {
    this.#sessions.delete(clientId);
  }
}
