import { messageOf } from '../errors.ts';
import { HTTP_LIMITS } from '../http-limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import type { EventBook } from './event-book.ts';
import type { Operations } from './operations.ts';
import type { AgentStatus } from './status.ts';

export interface LiveFeedOptions {
  readonly operations: Operations;
  readonly events: EventBook;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** One part of a stream of server-sent events. */
type Hear = (frame: string) => void;

/**
 * What goes on, as frames of server-sent events: the status each second, and events as they happen. The
 * status is measured once for all who listen, and not at all while nobody does.
 */
export class LiveFeed {
  readonly #options: LiveFeedOptions;
  readonly #listeners = new Set<Hear>();
  #timer: Timer | undefined;
  #measuring: Promise<AgentStatus> | undefined;
  #measuredAtMs = -Infinity;
  #isUnderWay = false;
  #isTelling = false;
  #unhear: (() => void) | undefined;
  #stopped = false;

  constructor(options: LiveFeedOptions) {
    this.#options = options;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Not older than a second. One at a time: behind a disk that does not answer they would pile up. */
  status(): Promise<AgentStatus> {
    const nowMs = this.#options.clock.monotonicMs();
    const isOld = nowMs - this.#measuredAtMs >= HTTP_LIMITS.liveMs;
    if (this.#measuring === undefined || (isOld && !this.#isUnderWay)) {
      this.#measuredAtMs = nowMs;
      this.#measuring = this.#measure();
    }
    return this.#measuring;
  }

  async #measure(): Promise<AgentStatus> {
    this.#isUnderWay = true;
    try {
      return await this.#options.operations.status();
    } finally {
      this.#isUnderWay = false;
    }
  }

  /** Until the function that is returned is called. */
  listen(hear: Hear): () => void {
    this.#listeners.add(hear);
    this.#unhear ??= this.#options.events.hear((event) =>
      this.#send(frameOf('event', event, event.id)),
    );
    this.#tick();
    return () => {
      this.#listeners.delete(hear);
      if (this.#listeners.size === 0) this.#rest();
    };
  }

  stop(): void {
    this.#stopped = true;
    this.#rest();
  }

  #rest(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unhear?.();
    this.#unhear = undefined;
  }

  /** One at a time: listeners come and go also while the status is measured. */
  #tick(): void {
    if (this.#timer !== undefined || this.#isTelling) return;
    if (this.#stopped || this.#listeners.size === 0) return;
    this.#timer = this.#options.clock.after(HTTP_LIMITS.liveMs, () => {
      this.#timer = undefined;
      void this.#tell();
    });
  }

  async #tell(): Promise<void> {
    this.#isTelling = true;
    try {
      this.#measuredAtMs = -Infinity;
      this.#send(frameOf('status', await this.status()));
    } catch (error) {
      this.#options.logger.warn({ error: messageOf(error) }, 'the status can not be told');
    } finally {
      this.#isTelling = false;
    }
    this.#tick();
  }

  #send(frame: string): void {
    for (const hear of this.#listeners) hear(frame);
  }
}

/** `id`: what a listener that comes again says it had. */
export function frameOf(event: string, data: unknown, id?: number): string {
  const line = id === undefined ? '' : `id: ${id}\n`;
  return `event: ${event}\n${line}data: ${JSON.stringify(data)}\n\n`;
}
