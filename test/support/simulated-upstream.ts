import { must } from '../../src/assert.ts';
import { type Coverage, type Coverages, upTo } from '../../src/coverage.ts';
import { GatelogError } from '../../src/errors.ts';
import type {
  Batching,
  ConnectOptions,
  Disposition,
  MirrorStream,
  Receipt,
  Rejection,
  Upstream,
  UpstreamSession,
} from '../../src/mirror/upstream.ts';
import type { LogRecord, StreamId } from '../../src/record.ts';
import type { Slice } from '../../src/store/log.ts';
import type { Clock } from '../../src/time.ts';

/**
 * What happens to one send.
 * - `ok`: acts, then answers. `late`: the same, after a long while.
 * - `fail-before`: fails without acting. `fail-after`: acts, but the answer is lost.
 * - `zombie`: the answer is lost now, and it acts later: unless a newer session began meanwhile
 *   (exactly once: the older one is fenced), or in any case (at least once).
 * - `silent`: does not act and never answers.
 * - `fence`: another gateway with our id took over.
 */
export type SendFate = 'ok' | 'late' | 'fail-before' | 'fail-after' | 'zombie' | 'silent' | 'fence';

export interface SimulatedUpstreamOptions {
  readonly clock: Clock;
  /** Positions at the far side, in one step with the records; else positions are ours alone. */
  readonly exactlyOnce: boolean;
  readonly fate?: (send: number) => SendFate;
  /** undefined connects. */
  readonly connectFails?: (connect: number) => Error | undefined;
  readonly reject?: (at: MirrorStream, record: LogRecord) => string | undefined;
  readonly latencyMs?: (send: number) => number;
  readonly batching?: Batching;
}

export interface Delivered {
  readonly at: MirrorStream;
  readonly record: LogRecord;
}

interface Sending {
  readonly batch: readonly Slice[];
  readonly after: Coverages;
}

/** A far side in memory: what it holds is `delivered`, in order of arrival. */
export class SimulatedUpstream implements Upstream {
  readonly delivered: Delivered[] = [];
  readonly positions: Map<StreamId, Coverage> = new Map();
  readonly connects: MirrorStream[][] = [];
  readonly batching?: Batching;
  sends: number = 0;
  /** Sessions begun and not closed. */
  openSessions: number = 0;
  mostOpenSessions: number = 0;
  /** Sends begun and not settled, at most ever. */
  mostInFlight: number = 0;
  epoch: number = 0;
  options: SimulatedUpstreamOptions;
  breakSession: (error: Error) => void = ignore;
  dispositions: (error: unknown) => Disposition = defaultDisposition;

  constructor(options: SimulatedUpstreamOptions) {
    this.options = options;
    if (options.batching !== undefined) this.batching = options.batching;
  }

  dispositionOf(error: unknown): Disposition {
    return this.dispositions(error);
  }

  async connect(
    streams: readonly MirrorStream[],
    signal: AbortSignal,
    options: ConnectOptions,
  ): Promise<UpstreamSession> {
    this.connects.push([...streams]);
    await this.options.clock.sleep(1, signal);
    if (signal.aborted) throw unreachableError('the connect was given up');
    const failure = this.options.connectFails?.(this.connects.length - 1);
    if (failure !== undefined) throw failure;
    this.epoch++;
    if (this.options.exactlyOnce) {
      const had = [...this.positions].filter(([stream]) => options.seek.has(stream));
      options.onSought?.(new Map(had));
      for (const [stream, offset] of options.seek) this.positions.set(stream, upTo(offset));
    }
    return this.#session(streams, options);
  }

  #session(streams: readonly MirrorStream[], options: ConnectOptions): UpstreamSession {
    const epoch = this.epoch;
    const byStream = new Map(streams.map((at) => [at.stream, at]));
    const known = [...this.positions].filter(([stream]) => byStream.has(stream));
    this.openSessions++;
    this.mostOpenSessions = Math.max(this.mostOpenSessions, this.openSessions);
    let spent: Error | undefined;
    let isClosed = false;
    let inFlight = 0;
    let chain: Promise<unknown> = Promise.resolve();
    const closed = new AbortController();
    const broken = new Promise<never>((_resolve, reject) => {
      this.breakSession = (error) => {
        spent ??= error;
        closed.abort();
        reject(error);
      };
    });
    broken.catch(ignore); // Whoever holds the session may be gone.
    const deliver = async (batch: readonly Slice[], after: Coverages): Promise<Receipt> => {
      if (spent !== undefined) throw spent;
      try {
        return await this.#act({ batch, after }, byStream, epoch, closed.signal, options);
      } catch (error) {
        spent ??= error as Error;
        throw error;
      }
    };
    return {
      positions: this.options.exactlyOnce ? new Map(known) : new Map(),
      broken,
      send: async (batch, after) => {
        inFlight++;
        this.mostInFlight = Math.max(this.mostInFlight, inFlight);
        const mine = chain.then(() => deliver(batch, after));
        chain = mine.catch(() => {});
        try {
          return await mine;
        } finally {
          inFlight--;
        }
      },
      close: async () => {
        spent ??= unreachableError('the session was closed');
        closed.abort();
        await chain; // As an upstream does that must know that nothing more is sent.
        if (!isClosed) this.openSessions--;
        isClosed = true;
      },
    };
  }

  async #act(
    { batch, after }: Sending,
    streams: ReadonlyMap<StreamId, MirrorStream>,
    epoch: number,
    closed: AbortSignal,
    options: ConnectOptions,
  ): Promise<Receipt> {
    const { clock, fate, latencyMs } = this.options;
    const send = this.sends++;
    const does = fate?.(send) ?? 'ok';
    if (does === 'fence') throw new GatelogError('UPSTREAM_FENCED', 'another gateway took over');
    await clock.sleep((latencyMs?.(send) ?? 1) + (does === 'late' ? 20_000 : 0), closed);
    if (closed.aborted) throw unreachableError('the session was closed');
    if (does === 'fail-before') throw unreachableError('refused');
    if (does === 'silent') {
      await clock.sleep(1e9, closed);
      throw unreachableError('the session was closed');
    }
    if (this.options.exactlyOnce) await options.quarantine(this.#rejections(batch, streams));
    if (closed.aborted) throw unreachableError('the session was closed');
    const take = (): Receipt => {
      if (this.options.exactlyOnce && this.epoch !== epoch) {
        throw new GatelogError('UPSTREAM_UNREACHABLE', 'a newer session has begun');
      }
      return this.#take({ batch, after }, streams);
    };
    if (does === 'zombie') {
      clock.after(3000, () => {
        if (!this.options.exactlyOnce || this.epoch === epoch)
          this.#take({ batch, after }, streams);
      });
      throw new GatelogError('UPSTREAM_UNCERTAIN', 'the answer was lost');
    }
    const receipt = take();
    if (does === 'fail-after') throw new GatelogError('UPSTREAM_UNCERTAIN', 'the answer was lost');
    return receipt;
  }

  #rejections(batch: readonly Slice[], streams: ReadonlyMap<StreamId, MirrorStream>): Rejection[] {
    const { reject } = this.options;
    return batch.flatMap(({ stream, records }) =>
      records.flatMap((record) => {
        const reason = reject?.(must(streams.get(stream), 'a stream of this session'), record);
        return reason === undefined ? [] : [{ stream, offset: record.offset, reason }];
      }),
    );
  }

  /** One atomic step, as a transaction would be. */
  #take({ batch, after }: Sending, streams: ReadonlyMap<StreamId, MirrorStream>): Receipt {
    const rejected = this.#rejections(batch, streams);
    const refused = new Set(rejected.map(({ stream, offset }) => `${stream}:${offset}`));
    let bytesSent = 0;
    for (const { stream, records } of batch) {
      const at = must(streams.get(stream), 'a stream of this session');
      for (const record of records) {
        if (refused.has(`${stream}:${record.offset}`)) continue;
        bytesSent += record.value?.length ?? 0;
        this.delivered.push({ at, record });
      }
    }
    for (const [stream, had] of after) this.positions.set(stream, had);
    return { rejected, bytesSent };
  }
}

function unreachableError(text: string): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', text);
}

function ignore(): void {}

function defaultDisposition(error: unknown): Disposition {
  if (error instanceof GatelogError && error.code === 'UPSTREAM_FENCED') return { kind: 'halt' };
  return { kind: 'retry' };
}
