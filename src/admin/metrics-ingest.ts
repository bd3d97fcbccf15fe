import { labelled, type MetricFamily, single } from './metrics-family.ts';

/** What comes from devices. Everything counts since the agent started. */
export const INGEST_METRICS: readonly MetricFamily[] = [
  single(
    'counter',
    'gatelog_received_messages_total',
    'PUBLISH packets and wills that reached the gate to the log.',
    ({ status }) => status.ingest?.received,
  ),
  single(
    'counter',
    'gatelog_received_bytes_total',
    'Bytes of their payloads.',
    ({ status }) => status.ingest?.receivedBytes,
  ),
  labelled(
    'counter',
    'gatelog_appended_messages_total',
    'Messages given to the log, by durability.',
    ({ status }) => Object.entries(status.ingest?.appended ?? {}),
    ([durability, count]) => [{ durability }, count],
  ),
  single(
    'counter',
    'gatelog_unrouted_messages_total',
    'Messages that no route leads into the log: delivered live only.',
    ({ status }) => status.ingest?.unrouted,
  ),
  single(
    'counter',
    'gatelog_returned_messages_total',
    'Records of this very log that a mirror brought back: delivered live only.',
    ({ status }) => status.ingest?.returned,
  ),
  single(
    'counter',
    'gatelog_failed_messages_total',
    'Messages that the log could not take, and that were not acknowledged.',
    ({ status }) => status.ingest?.failed,
  ),
  single(
    'counter',
    'gatelog_dropped_messages_total',
    'QoS 0 messages that the log could not take; they stand in the loss ledger.',
    ({ status }) => status.ingest?.dropped,
  ),
  single(
    'gauge',
    'gatelog_connections',
    'Connections of devices and programs over MQTT.',
    ({ status }) => status.ingest?.connections,
  ),
  single(
    'counter',
    'gatelog_connections_opened_total',
    'Connections that were taken.',
    ({ status }) => status.ingest?.connectionsTotal,
  ),
  labelled(
    'counter',
    'gatelog_connections_refused_total',
    'Connections that were refused: for their login, or before (limits, TLS and WebSocket handshakes).',
    ({ status: { ingest } }) => (ingest === null ? [] : refusedOf(ingest)),
    ([reason, count]) => [{ reason }, count],
  ),
  single(
    'counter',
    'gatelog_forbidden_requests_total',
    'Publishes and subscriptions that the rules (mqtt.acl) do not allow.',
    ({ status }) => status.ingest?.refused,
  ),
  single(
    'counter',
    'gatelog_violations_total',
    'Connections ended because the peer broke the protocol or a limit.',
    ({ status }) => status.ingest?.violations,
  ),
  single(
    'counter',
    'gatelog_not_kept_messages_total',
    'Messages not retained, or not kept for a session or a slow reader, at their bounds; the log has them.',
    ({ status }) => status.ingest?.notKept,
  ),
  single(
    'gauge',
    'gatelog_sessions',
    'Sessions that outlive their connections.',
    ({ status }) => status.ingest?.sessions,
  ),
  single(
    'gauge',
    'gatelog_session_queue_bytes',
    'Bytes that are queued for them.',
    ({ status }) => status.ingest?.queuedBytes,
  ),
  single(
    'gauge',
    'gatelog_incomplete_packets_bytes',
    'Bytes of packets that have not come whole yet.',
    ({ status }) => status.ingest?.heldBytes,
  ),
  single(
    'gauge',
    'gatelog_dedup_producers',
    'Producers whose numbers are remembered (mqtt.dedup).',
    ({ status }) => status.ingest?.dedup?.remembered,
  ),
  single(
    'counter',
    'gatelog_dedup_producers_forgotten_total',
    'Producers given up for others.',
    ({ status }) => status.ingest?.dedup?.forgotten,
  ),
  single(
    'counter',
    'gatelog_dedup_repeats_total',
    'Messages that were stored before: acknowledged, and not stored again.',
    ({ status }) => status.ingest?.dedup?.repeats,
  ),
  single(
    'counter',
    'gatelog_dedup_gaps_total',
    'Times that numbers were left out.',
    ({ status }) => status.ingest?.dedup?.gaps,
  ),
  single(
    'counter',
    'gatelog_dedup_late_messages_total',
    'Messages that came late into such a gap.',
    ({ status }) => status.ingest?.dedup?.late,
  ),
  single(
    'counter',
    'gatelog_dedup_unreadable_messages_total',
    'Messages whose number could not be read: taken as if they had none.',
    ({ status }) => status.ingest?.dedup?.unreadable,
  ),
];

function refusedOf({
  connectionsRefused,
  loginsRefused,
}: {
  readonly connectionsRefused: number;
  readonly loginsRefused: number;
}): readonly (readonly [string, number])[] {
  return [
    ['login', loginsRefused],
    ['door', connectionsRefused - loginsRefused],
  ];
}
