import type { AedesClient } from './broker-aedes.ts';
import { shareOfCopy } from './broker-shared.ts';
import { grantedQos } from './broker-subscriptions.ts';
import type { Qos } from './publication.ts';

/** A message on its way to a client, as aedes lets us change it. */
export interface Forwarded {
  readonly topic: string;
  qos: number;
  properties?: object;
}

/**
 * Of several subscriptions of a client that a message matches, the one with the highest QoS counts
 * [MQTT-3.3.4-2]. aedes delivers by the one that comes first, and drops what the others would bring; here
 * a subscription of QoS 0 looks whether there is a better one. And last of all aedes lowers a message to the
 * QoS of a subscription to its very topic: what it was to have leaves with its properties, the only
 * part of a message that is the same object until it is written.
 */
export class Overlaps {
  /** Clients with a subscription of QoS 1 or 2: others need no look. */
  readonly #raised = new WeakSet<object>();
  readonly #meant = new WeakMap<object, Qos>();

  asked(client: AedesClient, qos: Qos): void {
    if (qos > 0) this.#raised.add(client);
  }

  /** `isHigh`: aedes may have left it higher than any subscription. */
  settle(client: AedesClient, packet: Forwarded, isHigh: boolean): void {
    if (packet.qos === 0) return;
    const exact = client.subscriptions[packet.topic]?.qos ?? packet.qos;
    if (!isHigh && exact >= packet.qos) return;
    packet.qos = Math.min(packet.qos, grantedQos(client, packet.topic));
    if (exact >= packet.qos) return;
    packet.properties = { ...packet.properties };
    this.#meant.set(packet.properties, packet.qos as Qos);
  }

  /** The QoS that a message with these properties is to be written with; undefined: its own. */
  meantFor(properties: object | undefined): Qos | undefined {
    return properties === undefined ? undefined : this.#meant.get(properties);
  }

  watch(client: AedesClient): void {
    const { deliver0 } = client;
    client.deliver0 = (packet, done) => {
      if (this.#isBetter(client, packet)) client.deliverQoS(packet, done);
      else deliver0(packet, done);
    };
  }

  #isBetter(client: AedesClient, packet: unknown): boolean {
    if (!this.#raised.has(client)) return false;
    const { qos, topic, brokerId } = packet as { qos: Qos; topic: string; brokerId?: string };
    if (qos === 0 || shareOfCopy({ brokerId }) !== undefined) return false;
    return grantedQos(client, topic) > 0;
  }
}
