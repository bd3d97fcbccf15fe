import { COUNT, type Form, objectOf, orNull, recordOf } from './schema-forms.ts';
import type { DedupStatus, IngestStatus } from './status.ts';

const DEDUP: Form = objectOf<DedupStatus>({
  remembered: [COUNT, 'Producers.'],
  atMost: [COUNT, 'So many of them.'],
  forgotten: [COUNT, 'Given up for others.'],
  repeats: [COUNT, 'Messages that were taken before: acknowledged, and not stored again.'],
  gaps: [COUNT, 'Times that numbers were left out.'],
  late: [COUNT, 'Messages that came late into such a gap.'],
  unreadable: [COUNT, 'Messages whose number could not be read.'],
});

/** What came from devices, since the agent started. */
export const INGEST_FORM: Form = objectOf<IngestStatus>({
  received: [COUNT, 'PUBLISH packets and wills that reached the gate to the log.'],
  receivedBytes: [COUNT, 'Of their payloads.'],
  appended: [recordOf(['fsync', 'os', 'none'], COUNT), 'Given to the log, by durability.'],
  unrouted: [COUNT, 'Delivered live only: no route.'],
  returned: [COUNT, 'Records of this very log that a mirror brought back.'],
  failed: [COUNT, 'That the log could not take; never acknowledged.'],
  dropped: [COUNT, 'Of QoS 0 that the log could not take; in the loss ledger.'],
  connections: [COUNT, 'At present.'],
  connectionsTotal: [COUNT, 'Those that came.'],
  connectionsRefused: [COUNT, 'Those that were not let in.'],
  refused: [COUNT, 'Publishes to $SYS/, and what mqtt.acl does not allow.'],
  violations: [COUNT, 'Connections ended because the peer broke the protocol or a limit.'],
  loginsRefused: [COUNT, 'Of the refused connections: for their credentials.'],
  notKept: [COUNT, 'Messages not retained, or not queued for a session, at their bounds.'],
  notRetained: [COUNT, 'Of those: for which there was no room among the retained ones.'],
  sessions: [COUNT, 'That outlive their connections.'],
  queuedBytes: [COUNT, 'Kept for them.'],
  heldBytes: [COUNT, 'Of packets that have not come whole yet.'],
  dedup: [orNull(DEDUP), 'What mqtt.dedup did; null: devices do not number messages here.'],
});
