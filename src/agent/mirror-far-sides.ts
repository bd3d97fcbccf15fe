import { clientIdOf } from '../mirror/mqtt/client-id.ts';
import { Handshakes } from '../mirror/mqtt/handshakes.ts';
import { OwnRecords } from '../mirror/mqtt/own-records.ts';
import { selectTopics, streamsOf, topicMatcher } from '../mirror/selection.ts';
import type { PositionStore, Store } from '../store/log.ts';
import type { Config, MirrorConfig, MqttUpstreamConfig } from './config-types.ts';
import { handshakesSpace } from './known-mirrors.ts';
import { hostAndPort } from './own-address.ts';

interface KeptHandshakes {
  /** Address and client id: the session that they are of. */
  readonly session: string;
  readonly handshakes: Handshakes;
}

/**
 * What the mirrors over MQTT remember of their far sides for as long as they send there, whichever mirror that is
 * and however often it begins anew. A far side that is new, or that nobody sent to meanwhile, is known as far
 * as after a restart: this folder can have sent what the log holds by then.
 */
export class MqttFarSides {
  readonly #store: Store;
  #config: Config;
  readonly #own = new Map<string, OwnRecords>();
  readonly #handshakes = new Map<string, KeptHandshakes>();

  constructor(store: Store, config: Config) {
    this.#store = store;
    this.#config = config;
  }

  /** What they send to from now on; nobody sends to the others any more. */
  changed(config: Config): void {
    this.#config = config;
    const mirrors = Object.entries(config.mirrors).flatMap(([name, { upstream }]) =>
      upstream.kind === 'mqtt' ? [{ name, upstream }] : [],
    );
    const farSides = new Set(mirrors.map(({ upstream }) => farSideOf(upstream.url)));
    const names = new Set(mirrors.map(({ name }) => name));
    for (const far of this.#own.keys()) if (!farSides.has(far)) this.#own.delete(far);
    for (const name of this.#handshakes.keys()) {
      if (!names.has(name)) this.#handshakes.delete(name);
    }
  }

  /** One for each far side, whichever mirrors send to it. */
  ownRecords(url: string): OwnRecords {
    const far = farSideOf(url);
    const { reader, stateDamage } = this.#store;
    const values = this.#store.keyValue(`mqtt.${far}`);
    const alsoTo = (topic: string): string[] => this.#otherAddresses(far, topic);
    const own =
      this.#own.get(far) ?? new OwnRecords(values, reader, stateDamage !== undefined, alsoTo);
    this.#own.set(far, own);
    return own;
  }

  /** Those that are under way stay so while the mirror goes on with the far side's session. */
  handshakes(name: string, mqtt: MqttUpstreamConfig, positions: PositionStore): Handshakes {
    const session = `${mqtt.url} ${this.#clientId(mqtt)}`;
    const kept = this.#handshakes.get(name);
    if (kept?.session === session) return kept.handshakes;
    const { reader, stateDamage } = this.#store;
    const handshakes = new Handshakes({
      values: this.#store.keyValue(handshakesSpace(name)),
      hadOf: positions.coverage.bind(positions),
      reader,
      isDoubtful: stateDamage !== undefined,
    });
    this.#handshakes.set(name, { session, handshakes });
    return handshakes;
  }

  /** Durable when resolved, which is before the mirror sends anything. 3.1.1 has no identities. */
  async expects({ upstream, topics }: MirrorConfig): Promise<void> {
    if (upstream.kind !== 'mqtt' || upstream.protocol === '3.1.1') return;
    const { reader, identity } = this.#store;
    const owner = { gateway: this.#config.gateway, incarnation: identity.incarnation };
    const streams = streamsOf(selectTopics(reader, topicMatcher(topics)));
    await this.ownRecords(upstream.url).expects(owner, streams);
  }

  /** Other mirrors to MQTT brokers with its client id. */
  sameId(name: string, mqtt: MqttUpstreamConfig): string[] {
    const clientId = this.#clientId(mqtt);
    return Object.entries(this.#config.mirrors)
      .filter(
        ([other, { upstream }]) =>
          other !== name && upstream.kind === 'mqtt' && this.#clientId(upstream) === clientId,
      )
      .map(([other]) => other);
  }

  #clientId(mqtt: MqttUpstreamConfig): string {
    return clientIdOf({ ...mqtt, gateway: this.#config.gateway });
  }

  /** Where else mirrors over MQTT send the topic. */
  #otherAddresses(far: string, topic: string): string[] {
    return Object.values(this.#config.mirrors).flatMap(({ upstream, topics }) => {
      const isOther = upstream.kind === 'mqtt' && farSideOf(upstream.url) !== far;
      return isOther && topicMatcher(topics)(topic) ? [upstream.url] : [];
    });
  }
}

function farSideOf(url: string): string {
  const { host, port } = hostAndPort(url);
  return `${host}:${port}`;
}
