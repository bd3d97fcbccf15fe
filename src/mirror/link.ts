import { must } from '../assert.ts';
import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { LogCursor, LogReader, PositionStore } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { formatDuration } from '../units.ts';
import { PositionSaver, resumeFrom, type Resumption } from './positions.ts';
import { type Owed, Pump, type PumpFailure, type PumpObserver } from './pump.ts';
import type { Batching, MirrorStream, Rejection, Upstream, UpstreamSession } from './upstream.ts';

export interface LinkOptions {
  readonly upstream: Upstream;
  readonly reader: LogReader;
  readonly positions: PositionStore;
  readonly batching: Batching;
  readonly window: number;
  readonly sendMs: number;
  readonly drainMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observer: LinkObserver;
}

export interface LinkObserver extends PumpObserver {
  /** The session stands, and its positions, which are not stored yet, are these. */
  resuming(resumption: Resumption): Promise<void>;
  /** The session stands and begins at these positions; the seeks it was given are done. */
  begun(resumption: Resumption): Promise<void>;
  /** The far side failed while it owed an answer. */
  undelivered(error: unknown, owed: Owed): void;
}

/**
 * One session with the far side from connect to close: learns where to go on, pumps, and leaves
 * the local positions saved. Made anew for each session.
 */
export class Link {
  readonly #options: LinkOptions;
  #pump: Pump | undefined;
  #cursor: LogCursor | undefined;
  #saver: PositionSaver | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Monotonic ms since when the far side owes an answer. */
  get waitingSinceMs(): number | undefined {
    return this.#pump?.waitingSinceMs;
  }

  /** undefined when it ended because `signal` aborted. Never rejects. */
  async run(
    streams: readonly MirrorStream[],
    seek: ReadonlyMap<StreamId, number>,
    signal: AbortSignal,
  ): Promise<PumpFailure | undefined> {
    let session: UpstreamSession;
    try {
      session = await this.#connect(streams, seek, signal);
    } catch (error) {
      return signal.aborted ? undefined : { error, local: false };
    }
    // Handled where the pump sees it; a session may also break before it does.
    session.broken.catch(() => {});
    let failure: PumpFailure | undefined;
    try {
      const positions = await this.#resume(session, streams, seek);
      failure = await this.#pumpFrom(positions, session, signal);
    } catch (error) {
      failure = { error, local: true };
    }
    const leaving = await this.#leave(session);
    return failure ?? leaving;
  }

  /** In this order: nothing more arrives, the last receipt is handled, its position is saved. */
  async #leave(session: UpstreamSession): Promise<PumpFailure | undefined> {
    try {
      await session.close();
      await this.#pump?.finished();
      await this.#cursor?.close();
      await this.#saver?.flush();
      return undefined;
    } catch (error) {
      return { error, local: true };
    }
  }

  async #connect(
    streams: readonly MirrorStream[],
    seek: ReadonlyMap<StreamId, number>,
    signal: AbortSignal,
  ): Promise<UpstreamSession> {
    const { clock, upstream, positions } = this.#options;
    const located = streams.map((at) => ({ ...at, position: positions.get(at.stream) }));
    const limit = new AbortController();
    const timer = clock.after(LIMITS.mirrorConnectMs, () => limit.abort());
    const quarantine = async (rejected: readonly Rejection[]): Promise<void> => {
      await must(this.#pump, 'only what the pump sends is rejected').quarantine(rejected);
    };
    try {
      const either = AbortSignal.any([signal, limit.signal]);
      return await upstream.connect(located, either, { seek, quarantine });
    } catch (error) {
      if (!limit.signal.aborted) throw error;
      const waited = formatDuration(LIMITS.mirrorConnectMs);
      throw new GatelogError('UPSTREAM_UNREACHABLE', `no session within ${waited}`, {
        cause: error,
      });
    } finally {
      timer.cancel();
    }
  }

  /** Settles with the far side where to go on, and stores that. */
  async #resume(
    session: UpstreamSession,
    streams: readonly MirrorStream[],
    seek: ReadonlyMap<StreamId, number>,
  ): Promise<ReadonlyMap<StreamId, number>> {
    const { reader, positions: store, logger, observer } = this.#options;
    const local = store.all();
    const resumption = resumeFrom({ streams, reader, local, far: session.positions, seek });
    for (const { at, local: ours, far, from } of resumption.farBehind) {
      if (from === ours) continue; // Nothing of it can be sent again.
      const { topic, partition } = at;
      logger.warn(
        { event: 'mirror.far-behind', topic, partition, local: ours, far, from },
        `the far side has ${topic}/${partition} up to ${far}, though it had confirmed ${ours}: ` +
          `sending again from ${from}`,
      );
    }
    await observer.resuming(resumption);
    if (resumption.backward.size > 0) await store.seek(resumption.backward);
    if (resumption.forward.size > 0) await store.advance(resumption.forward);
    await observer.begun(resumption);
    return resumption.positions;
  }

  async #pumpFrom(
    positions: ReadonlyMap<StreamId, number>,
    session: UpstreamSession,
    signal: AbortSignal,
  ): Promise<PumpFailure | undefined> {
    const { reader, clock, batching, window, sendMs, drainMs, observer } = this.#options;
    const saver = new PositionSaver(this.#options.positions, clock, (error) =>
      pump.fail({ error, local: true }),
    );
    const watching: PumpObserver = {
      missing: (gaps) => observer.missing(gaps),
      quarantine: (...args) => observer.quarantine(...args),
      settled: (settlement) => {
        observer.settled(settlement);
        saver.note(settlement.positions);
      },
      atEnd: (atEnd) => observer.atEnd(atEnd),
    };
    const cursor = reader.cursor(positions);
    const pump = new Pump({ cursor, batching, window, sendMs, clock, observer: watching });
    this.#saver = saver;
    this.#cursor = cursor;
    this.#pump = pump;
    const over = new AbortController();
    const drain = async (): Promise<void> => {
      await clock.sleep(drainMs, over.signal);
      pump.fail({ error: drainError(drainMs), local: false });
    };
    const onAbort = (): void => void drain();
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    const failure = await pump.run(session, signal);
    const { owed } = pump;
    if (failure?.local === false && owed !== undefined) observer.undelivered(failure.error, owed);
    signal.removeEventListener('abort', onAbort);
    over.abort();
    return failure;
  }
}

function drainError(drainMs: number): GatelogError {
  return new GatelogError(
    'UPSTREAM_UNCERTAIN',
    `the far side did not confirm what was sent within ${formatDuration(drainMs)} of ending the session`,
  );
}
