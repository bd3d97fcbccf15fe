import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { AedesPersistence, LivePacket, StoredPacket } from './broker-aedes.ts';

/**
 * aedes keeps retained messages and the queues of sessions in memory, without a bound. These are
 * the bounds: what is over them is not kept, counted, and said once. The log has it all the same.
 */
export class SessionBounds {
  readonly #logger: Logger;
  readonly #retained = new Map<string, number>();
  readonly #queues = new Map<string, { messages: number; bytes: number }>();
  #retainedBytes = 0;
  #queuedBytes = 0;
  #dropped = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Messages not retained, or not queued for a session. */
  get dropped(): number {
    return this.#dropped;
  }

  watch(persistence: AedesPersistence): void {
    const storeRetained = persistence.storeRetained.bind(persistence);
    persistence.storeRetained = async (packet) => {
      if (this.#mayRetain(packet)) await storeRetained(packet);
    };
    const enqueueAll = persistence.outgoingEnqueueCombi.bind(persistence);
    persistence.outgoingEnqueueCombi = async (subs, packet) => {
      await enqueueAll(
        subs.filter(({ clientId }) => this.#mayQueue(clientId, packet)),
        packet,
      );
    };
    const clear = persistence.outgoingClearMessageId.bind(persistence);
    persistence.outgoingClearMessageId = async (client, packet) => {
      const cleared = await clear(client, packet);
      if (cleared !== undefined) this.#cleared(client.id);
      return cleared;
    };
  }

  #mayRetain(packet: LivePacket): boolean {
    const before = this.#retained.get(packet.topic);
    const size = packet.topic.length + packet.payload.length;
    if (packet.payload.length === 0) {
      this.#retained.delete(packet.topic);
      this.#retainedBytes -= before ?? 0;
      return true;
    }
    const bytes = this.#retainedBytes - (before ?? 0) + size;
    const isNew = before === undefined;
    if (bytes > LIMITS.retainedBytes || (isNew && this.#retained.size >= LIMITS.retainedMessages)) {
      this.#drop('a message was not retained: the bound of retained messages is reached');
      return false;
    }
    this.#retained.set(packet.topic, size);
    this.#retainedBytes = bytes;
    return true;
  }

  #mayQueue(clientId: string, packet: StoredPacket): boolean {
    const queue = this.#queues.get(clientId) ?? { messages: 0, bytes: 0 };
    const size = packet.topic.length + packet.payload.length;
    const full = queue.messages >= LIMITS.sessionMessages;
    if (full || this.#queuedBytes + size > LIMITS.sessionBytes) {
      this.#drop('a message was not queued for a session: the bound of its queue is reached');
      return false;
    }
    queue.messages++;
    queue.bytes += size;
    this.#queuedBytes += size;
    this.#queues.set(clientId, queue);
    return true;
  }

  /** aedes does not say how large the cleared one was: the mean, which is exact in the end. */
  #cleared(clientId: string): void {
    const queue = this.#queues.get(clientId);
    if (queue === undefined) return;
    const size = queue.bytes / queue.messages;
    queue.messages--;
    queue.bytes -= size;
    this.#queuedBytes -= size;
    if (queue.messages === 0) this.#queues.delete(clientId);
  }

  #drop(message: string): void {
    this.#dropped++;
    if (this.#dropped === 1) this.#logger.warn({}, `${message}; later ones are only counted`);
  }
}
