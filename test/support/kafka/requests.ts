import type { RequestHeader } from './frames.ts';

/** Where in a request's life the connection is cut. */
export interface CutPoint {
  /**
   * `request`: the broker gets nothing of it. `middle`: the broker gets half of it. `response`: the
   * broker has acted and answered, and the client gets nothing of the answer.
   */
  readonly where: 'request' | 'middle' | 'response';
  /** `reset`: both sides see a reset. `silent`: both sockets stay open and carry nothing again. */
  readonly how: 'reset' | 'silent';
}

export interface Cut {
  /** The request that was cut; stays pending until then, and after `cancel`. */
  readonly done: Promise<RequestHeader>;
  cancel(): void;
}

export interface ArmedCut extends CutPoint {
  readonly matches: (request: RequestHeader) => boolean;
  readonly resolve: (request: RequestHeader) => void;
  cancelled: boolean;
}

/** What proxies know of the Kafka requests that pass them: counts, and which to cut next. */
export class KafkaRequests {
  readonly #counts = new Map<number, number>();
  readonly #cuts = new Set<ArmedCut>();

  /** Requests seen so far with this API key. */
  count(apiKey: number): number {
    return this.#counts.get(apiKey) ?? 0;
  }

  /** Cuts the next request that matches, once. */
  cut(matches: (request: RequestHeader) => boolean, point: CutPoint): Cut {
    const { promise, resolve } = Promise.withResolvers<RequestHeader>();
    const armed: ArmedCut = { ...point, matches, resolve, cancelled: false };
    this.#cuts.add(armed);
    const cancel = (): void => {
      armed.cancelled = true;
      this.#cuts.delete(armed);
    };
    return { done: promise, cancel };
  }

  /** For the proxy: a request came by. The cut handed out is no longer armed. */
  saw(request: RequestHeader, mayCut: boolean): ArmedCut | undefined {
    this.#counts.set(request.apiKey, this.count(request.apiKey) + 1);
    if (!mayCut) return undefined;
    for (const cut of this.#cuts) {
      if (!cut.matches(request)) continue;
      this.#cuts.delete(cut);
      return cut;
    }
    return undefined;
  }

  /** For the proxy: the connection broke of itself before the response came; the next one then. */
  again(cut: ArmedCut): void {
    if (!cut.cancelled) this.#cuts.add(cut);
  }
}
