import type { AedesClient } from './broker-aedes.ts';
import type { BrokerOptions } from './broker-options.ts';
import type { SessionPersistence } from './broker-persistence.ts';
import type { PublishOrder } from './broker-publish-order.ts';
import { isShareMarker } from './broker-share-filter.ts';
import type { SessionStore } from './broker-session-store.ts';
import type { Subscriptions } from './broker-subscriptions.ts';
import { type SystemCounts, type SystemFigures, SystemTopics } from './broker-system.ts';
import type { Traffic } from './broker-traffic.ts';

/** Walks over clients and sessions. Subscriptions of lasting sessions count while they are away, too. */
export function systemFigures(clients: Iterable<AedesClient>, store: SessionStore): SystemFigures {
  const connected = new Set<string>();
  let subscriptions = 0;
  let sharedSubscriptions = 0;
  const count = (filters: Iterable<string>): void => {
    for (const filter of filters) {
      if (isShareMarker(filter)) sharedSubscriptions++;
      else subscriptions++;
    }
  };
  for (const client of clients) {
    if (!client.connected) continue;
    connected.add(client.id);
    count(Object.keys(client.subscriptions));
  }
  let clientsDisconnected = 0;
  let queued = 0;
  for (const session of store.sessions()) {
    queued += session.queue.size;
    if (connected.has(session.clientId)) continue;
    clientsDisconnected++;
    count(session.subscriptions.keys());
  }
  const { retained, bounds } = store;
  return {
    clientsConnected: connected.size,
    clientsDisconnected,
    subscriptions,
    sharedSubscriptions,
    retained: retained.size,
    stored: retained.size + queued,
    storedBytes: retained.bytes + bounds.bytes,
  };
}

export interface SystemParts {
  readonly traffic: Traffic;
  readonly persistence: SessionPersistence;
  readonly subscriptions: Pick<Subscriptions, 'wantsSystem'>;
  readonly order: PublishOrder;
  readonly acknowledged: () => number;
  readonly clients: () => Iterable<AedesClient>;
  readonly counters: () => {
    readonly connectionsTotal: number;
    readonly receivedBytes: number;
    readonly notKept: number;
  };
}

/** undefined: they are switched off. */
export function startSystemTopics(
  { sysIntervalMs, version = 'unknown', clock }: BrokerOptions,
  parts: SystemParts,
): SystemTopics | undefined {
  if (sysIntervalMs === undefined) return undefined;
  const { traffic, persistence, subscriptions, order, clients } = parts;
  const system = new SystemTopics({
    version,
    intervalMs: sysIntervalMs,
    counts: () => systemCounts(parts),
    figures: () => systemFigures(clients(), persistence.store),
    isWanted: () => subscriptions.wantsSystem,
    publish: (packet) => order.publish(packet, null, () => {}, undefined),
    clock,
  });
  persistence.system = (filter) => system.matching(filter);
  traffic.onConnections = (count) => system.connected(count);
  return system;
}

function systemCounts({ traffic, counters, acknowledged }: SystemParts): SystemCounts {
  const { connectionsTotal, receivedBytes, notKept } = counters();
  const bytes = traffic.bytes();
  return {
    'bytes/received': bytes.received,
    'bytes/sent': bytes.sent,
    connections: traffic.connects,
    sockets: connectionsTotal,
    'messages/received': traffic.received,
    'messages/sent': traffic.sent + acknowledged(),
    'publish/dropped': notKept,
    'publish/received': traffic.publishesReceived,
    'publish/sent': traffic.publishesSent,
    'publish/bytes/received': receivedBytes,
    'publish/bytes/sent': traffic.publishBytesSent,
  };
}
