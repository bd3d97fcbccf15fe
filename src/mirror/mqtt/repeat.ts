import type { Packet } from 'mqtt';
import { LAST_PROPERTY } from '../../identity.ts';

/** What a central gatelog says when it had a record before: the last offset it has of its source. */
export function lastOf(packet: Packet): number | undefined {
  if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec') return undefined;
  const last = packet.properties?.userProperties?.[LAST_PROPERTY];
  return typeof last === 'string' && /^\d{1,15}$/u.test(last) ? Number(last) : undefined;
}
