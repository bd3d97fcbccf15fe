import type { LinkWitness } from '../tcp-proxy.ts';
import { API } from './frames.ts';

/**
 * Counts round trips by who can have waited for whom, not by a clock: a request that left after an
 * answer had come waited for it, as far as anybody can tell. A connection costs one for its
 * handshake. Meaningful where the latency is long against what the client computes in between.
 */
export interface CountedRequest {
  readonly api: string;
  /** Round trips that had to be over before it left. */
  readonly after: number;
}

interface Seen {
  /** Round trips that were over when the connection could first be used. */
  readonly ready: number;
  /** By correlation id: those over when its answer is there. */
  readonly due: Map<number, number>;
}

const NAMES = new Map(Object.entries(API).map(([name, key]) => [key as number, name]));

export class RoundTrips implements LinkWitness {
  readonly requests: CountedRequest[] = [];
  #over = 0;
  readonly #seen = new Map<object, Seen>();

  /** Begins to count at zero. */
  restart(): void {
    this.requests.length = 0;
    this.#over = 0;
    this.#seen.clear();
  }

  opened(link: object): void {
    this.#seen.set(link, { ready: this.#over + 1, due: new Map() });
  }

  request(link: object, apiKey: number, correlationId: number): void {
    const seen = this.#seen.get(link);
    if (seen === undefined) return; // Opened before the count began.
    const after = Math.max(seen.ready, this.#over);
    seen.due.set(correlationId, after + 1);
    this.requests.push({ api: NAMES.get(apiKey) ?? String(apiKey), after });
  }

  answered(link: object, correlationId: number): void {
    this.#over = Math.max(this.#over, this.#seen.get(link)?.due.get(correlationId) ?? 0);
  }

  /** Round trips before the first of these requests left; undefined when there was none. */
  before(api: string): number | undefined {
    return this.requests.find((request) => request.api === api)?.after;
  }
}
