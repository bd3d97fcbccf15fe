import { SESSION_LIMITS } from '../session-limits.ts';
import type { AedesInner, LivePacket, WillPacket } from './broker-aedes.ts';
import type { KeptPacket } from './broker-session-codec.ts';
import type { SessionStore } from './broker-session-store.ts';

/** When wills are published, and when they are forgotten. */
export class Wills {
  readonly #inner: AedesInner;
  readonly #store: SessionStore;

  constructor(inner: AedesInner, store: SessionStore) {
    this.#inner = inner;
    this.#store = store;
    inner.publishWill = (client, will) => this.#publish(client, will);
  }

  /** Those of devices that were connected when we ended. */
  schedule(graceMs: number = SESSION_LIMITS.willGraceMs): void {
    for (const [id, will] of this.#store.wills) {
      const delay = will.properties?.willDelayInterval ?? 0;
      this.#inner.scheduleWill({ id }, will, Math.max(delay, graceMs / 1000));
    }
  }

  /** The session that it waits with ends [MQTT-3.1.3-9]. aedes would forget it. */
  release(id: string, isConnected: boolean): void {
    if (isConnected) {
      // It is published as soon as aedes ends that connection, as nothing holds it back any more.
      delete this.#inner.clients[id]?.will?.properties?.willDelayInterval;
      return;
    }
    const will = this.#store.wills.get(id);
    if (will === undefined || !this.#inner.delayedWills.has(id)) return;
    this.#inner.clearDelayedWill(id);
    this.#publish({ id }, will);
  }

  /**
   * Its device may be back by then, or another connection have its place, with a will that stands in the store
   * already: aedes would have that forgotten.
   */
  #publish(client: { readonly id: string }, will: WillPacket | KeptPacket): void {
    const forget = (): void => this.#store.dropWill(client.id, will);
    this.#store.retained.ownedBy(will.payload, will.leftBy);
    this.#inner.authorizePublish(client, will, (error) => {
      if (error !== null && error !== undefined) forget();
      else this.#inner.publish(will as LivePacket, client, forget);
    });
  }
}
