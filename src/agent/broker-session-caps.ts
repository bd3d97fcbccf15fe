import type { Logger } from '../telemetry.ts';
import type { SessionCaps } from './config-types.ts';
import { SESSION_LIMITS } from '../session-limits.ts';

export const DEFAULT_CAPS: SessionCaps = {
  queueBytes: SESSION_LIMITS.queueBytes,
  totalBytes: SESSION_LIMITS.totalBytes,
  retainedBytes: SESSION_LIMITS.retainedBytes,
  onFull: 'drop-oldest',
};

export interface CappedQueue {
  readonly bytes: number;
  dropOldest(): boolean;
}

/** Bytes of all queues, and whether one more message is queued. What is not is counted, and said once. */
export class QueueBounds {
  readonly #caps: SessionCaps;
  readonly #logger: Logger;
  readonly #queues: () => Iterable<CappedQueue>;
  #bytes = 0;
  #dropped = 0;
  #isSaid = false;

  constructor(caps: SessionCaps, logger: Logger, queues: () => Iterable<CappedQueue>) {
    this.#caps = caps;
    this.#logger = logger;
    this.#queues = queues;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Messages that were given up or not kept. */
  get dropped(): number {
    return this.#dropped;
  }

  readonly resized = (bytes: number): void => {
    this.#bytes += bytes;
  };

  admits(queue: CappedQueue, bytes: number): boolean {
    const { queueBytes, totalBytes } = this.#caps;
    while (queue.bytes + bytes > queueBytes) if (!this.#dropsOf(queue)) return this.#refuse();
    while (this.#bytes + bytes > totalBytes) {
      const largest = this.#largest();
      if (largest === undefined || !this.#dropsOf(largest)) return this.#refuse();
    }
    return true;
  }

  /** One that is told of elsewhere. */
  count(): void {
    this.#dropped++;
  }

  drop(message: string): void {
    this.#dropped++;
    if (this.#isSaid) return;
    this.#isSaid = true;
    this.#logger.warn({}, `${message}; later ones are only counted`);
  }

  #dropsOf(queue: CappedQueue): boolean {
    if (this.#caps.onFull === 'refuse' || !queue.dropOldest()) return false;
    this.drop('a queued message of a session was given up: the bound of queues is reached');
    return true;
  }

  #refuse(): false {
    this.drop('a message was not queued for a session: the bound of its queue is reached');
    return false;
  }

  #largest(): CappedQueue | undefined {
    let largest: CappedQueue | undefined;
    for (const queue of this.#queues()) {
      if (queue.bytes > (largest?.bytes ?? 0)) largest = queue;
    }
    return largest;
  }
}
