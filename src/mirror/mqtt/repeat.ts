import type { Packet } from 'mqtt';
import { LAST_PROPERTY } from '../../identity.ts';

/** What a central gatelog has last of the sources of records that it had before, by packet id. */
export class Repeats {
  readonly #lasts = new Map<number, number>();

  heard(packet: Packet): void {
    const last = lastOf(packet);
    if (last !== undefined && packet.messageId !== undefined)
      this.#lasts.set(packet.messageId, last);
  }

  /** Once, when its handshake is over. */
  take(id: number | undefined): number | undefined {
    if (id === undefined) return undefined;
    const last = this.#lasts.get(id);
    this.#lasts.delete(id);
    return last;
  }
}

/** What a central gatelog says when it had a record before: the last offset it has of its source. */
function lastOf(packet: Packet): number | undefined {
  if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec') return undefined;
  const last = packet.properties?.userProperties?.[LAST_PROPERTY];
  return typeof last === 'string' && /^\d{1,15}$/u.test(last) ? Number(last) : undefined;
}
