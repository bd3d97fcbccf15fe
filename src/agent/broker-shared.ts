import type { AedesClient, AedesInner, Deliver } from './broker-aedes.ts';
import { isShareMarker, matchedFilter } from './broker-share-filter.ts';
import type { KeptMatch } from './broker-session-store.ts';
import { TopicTree } from './broker-topic-tree.ts';
import type { Qos } from './publication.ts';

/** A message as aedes has numbered it. */
export interface NumberedPacket {
  readonly topic: string;
  readonly qos: Qos;
  readonly brokerId?: string | undefined;
  readonly brokerCounter?: number;
}

export interface SharedOptions {
  readonly mayReceive: (client: AedesClient, topic: string) => boolean;
  /** Shared subscriptions of lasting sessions, connected or not, that the topic matches. */
  readonly kept: (topic: string) => readonly KeptMatch[];
  /** Bytes that wait for that session. */
  readonly queued: (clientId: string) => number;
}

/** The copies of one message that lasting sessions keep: theirs by client id. */
export interface SharedCopy {
  readonly clientId: string;
  readonly packet: NumberedPacket;
}

const MARK = ' ';

/** The share that such a copy is for; undefined: it is none. */
export function shareOfCopy({
  brokerId,
}: {
  readonly brokerId?: string | undefined;
}): string | undefined {
  const at = brokerId?.indexOf(MARK) ?? -1;
  return at < 0 ? undefined : brokerId?.slice(at + MARK.length);
}

interface Choice {
  readonly client: AedesClient | undefined;
  readonly packet: NumberedPacket;
}

/** Those who share one subscription. */
class ShareGroup {
  readonly marker: string;
  readonly filter: string;
  readonly members: AedesClient[] = [];
  /** How often aedes has subscribed to the marker; at 0 nothing is listened to. */
  subscribed = 0;
  deliver: Deliver = () => {};
  #turn = 0;

  constructor(marker: string) {
    this.marker = marker;
    this.filter = matchedFilter(marker);
  }

  add(client: AedesClient): void {
    if (!this.members.includes(client)) this.members.push(client);
  }

  remove(client: AedesClient): void {
    const at = this.members.indexOf(client);
    if (at >= 0) this.members.splice(at, 1);
  }

  get isEmpty(): boolean {
    return this.members.length === 0 && this.subscribed <= 0;
  }

  /** The next member in turn that is connected and may have the message. */
  next(mayReceive: (client: AedesClient) => boolean): AedesClient | undefined {
    for (let tried = 0; tried < this.members.length; tried++) {
      const client = this.members[this.#turn++ % this.members.length];
      if (client !== undefined && this.#isHere(client) && mayReceive(client)) return client;
    }
    return undefined;
  }

  #isHere(client: AedesClient): boolean {
    const { closed, connackSent, subscriptions } = client;
    return !closed && connackSent && subscriptions[this.marker] !== undefined;
  }
}

/**
 * Shared subscriptions (MQTT 5, section 4.8.2), which aedes has none of: each message goes to one of a
 * group's members, to those that are connected in turn. While none is, a lasting session that is away
 * keeps it: the one that has the least waiting.
 *
 * aedes holds a member's subscription under a marker (broker-share-filter.ts) with its own function of
 * delivery, which brings the subscription's options; we call it for the one whose turn it is.
 */
export class SharedSubscriptions {
  readonly #options: SharedOptions;
  readonly #groups = new Map<string, ShareGroup>();
  readonly #byFilter = new TopicTree<ShareGroup>();
  /** Of the message that is being published, by marker: chosen when it was kept, before it is delivered. */
  readonly #chosen = new Map<string, Choice>();
  #chosenFor: number | undefined;
  readonly #joined = new WeakMap<AedesClient, Set<string>>();
  #inner: Pick<AedesInner, 'subscribe' | 'unsubscribe'> | undefined;

  constructor(options: SharedOptions) {
    this.#options = options;
  }

  /** Subscriptions that are shared, by whom it may be. */
  get groups(): number {
    return this.#groups.size;
  }

  /** Before anything else wraps these two. */
  watch(inner: AedesInner): void {
    const subscribe = inner.subscribe.bind(inner);
    const unsubscribe = inner.unsubscribe.bind(inner);
    this.#inner = { subscribe, unsubscribe };
    inner.subscribe = (topic, deliver, done) => {
      if (isShareMarker(topic)) this.#subscribed(topic, done);
      else subscribe(topic, deliver, done);
    };
    inner.unsubscribe = (topic, deliver, done) => {
      if (isShareMarker(topic)) this.#unsubscribed(topic, done);
      else unsubscribe(topic, deliver, done);
    };
  }

  /** The client is about to subscribe to that marker, and may. */
  join(client: AedesClient, marker: string): void {
    this.#group(marker).add(client);
    const joined = this.#joined.get(client);
    if (joined === undefined) this.#joined.set(client, new Set([marker]));
    else joined.add(marker);
  }

  unsubscribed(client: AedesClient, filters: readonly string[]): void {
    for (const filter of filters) {
      if (client.subscriptions[filter] === undefined) this.#leave(client, filter);
    }
  }

  /** Its connection has ended, whatever came of what it had asked for. */
  left(client: AedesClient): void {
    for (const marker of this.#joined.get(client) ?? []) this.#leave(client, marker);
  }

  #leave(client: AedesClient, marker: string): void {
    if (this.#joined.get(client)?.delete(marker) !== true) return;
    const group = this.#groups.get(marker);
    group?.remove(client);
    if (group?.isEmpty === true) this.#forget(group);
  }

  /**
   * For a message of QoS 1 or 2, before it is delivered: who gets it. Returns what lasting sessions are to
   * keep of it.
   */
  choose(packet: NumberedPacket): SharedCopy[] {
    this.#chosen.clear();
    this.#chosenFor = packet.brokerCounter;
    const kept = this.#keptByMarker(packet.topic);
    if (kept.size === 0 && this.#byFilter.size === 0) return [];
    const groups = new Set(this.#byFilter.matching(packet.topic));
    for (const marker of kept.keys()) groups.add(this.#group(marker));
    const copies: SharedCopy[] = [];
    for (const group of groups) {
      const client = this.#next(group, packet.topic);
      const absent = client === undefined ? this.#leastOf(kept.get(group.marker)) : undefined;
      const qos = client?.subscriptions[group.marker]?.qos ?? absent?.qos ?? 0;
      const copy = copyFor(packet, group, qos);
      this.#chosen.set(group.marker, { client, packet: copy });
      const clientId = absent?.clientId ?? (client?.clean === false ? client.id : undefined);
      if (clientId !== undefined && copy.qos > 0) copies.push({ clientId, packet: copy });
      if (group.isEmpty) this.#forget(group);
    }
    return copies;
  }

  #next(group: ShareGroup, topic: string): AedesClient | undefined {
    return group.next((client) => this.#options.mayReceive(client, topic));
  }

  /** Of those that are away, who has the least waiting. */
  #leastOf(absent: readonly KeptMatch[] = []): KeptMatch | undefined {
    let least: KeptMatch | undefined;
    let bytes = Infinity;
    for (const match of absent) {
      const queued = this.#options.queued(match.clientId);
      if (queued >= bytes) continue;
      least = match;
      bytes = queued;
    }
    return least;
  }

  #keptByMarker(topic: string): Map<string, KeptMatch[]> {
    const byMarker = new Map<string, KeptMatch[]>();
    for (const match of this.#options.kept(topic)) {
      const known = byMarker.get(match.topic);
      if (known === undefined) byMarker.set(match.topic, [match]);
      else known.push(match);
    }
    return byMarker;
  }

  #group(marker: string): ShareGroup {
    let group = this.#groups.get(marker);
    if (group !== undefined) return group;
    group = new ShareGroup(marker);
    this.#groups.set(marker, group);
    const known = group;
    group.deliver = (packet, done) => this.#deliver(known, packet as NumberedPacket, done);
    return group;
  }

  #subscribed(marker: string, done: (() => void) | undefined): void {
    const group = this.#group(marker);
    group.subscribed++;
    if (group.subscribed > 1) {
      done?.();
      return;
    }
    this.#byFilter.set(group.filter, marker, group);
    this.#inner?.subscribe(group.filter, group.deliver, done);
  }

  #unsubscribed(marker: string, done: (() => void) | undefined): void {
    const group = this.#groups.get(marker);
    if (group !== undefined && --group.subscribed === 0) {
      this.#byFilter.delete(group.filter, marker);
      if (group.isEmpty) this.#forget(group);
      this.#inner?.unsubscribe(group.filter, group.deliver, done);
    } else done?.();
  }

  #forget(group: ShareGroup): void {
    this.#groups.delete(group.marker);
    this.#byFilter.delete(group.filter, group.marker);
  }

  #deliver(group: ShareGroup, packet: NumberedPacket, done: () => void): void {
    const choice = this.#choiceFor(group, packet);
    const deliver = choice?.client?.subscriptions[group.marker]?.func;
    if (choice === undefined || deliver === undefined) done();
    else deliver(choice.packet, done);
  }

  #choiceFor(group: ShareGroup, packet: NumberedPacket): Choice | undefined {
    // [MQTT-4.7.2-1]
    if (packet.topic.startsWith('$') && /^[+#]/u.test(group.filter)) return undefined;
    if (packet.qos > 0 && packet.brokerCounter === this.#chosenFor) {
      return this.#chosen.get(group.marker);
    }
    const client = this.#next(group, packet.topic);
    const qos = client?.subscriptions[group.marker]?.qos ?? 0;
    return { client, packet: copyFor(packet, group, qos) };
  }
}

/**
 * A copy that counts for itself: aedes takes a second one of the same number for a repeat, and a client
 * gets a message once for each share and once for its own subscriptions.
 */
function copyFor(packet: NumberedPacket, { marker }: ShareGroup, granted: Qos): NumberedPacket {
  const qos = Math.min(packet.qos, granted) as Qos;
  return { ...packet, qos, brokerId: `${packet.brokerId ?? ''}${MARK}${marker}` };
}
