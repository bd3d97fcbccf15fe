import { must } from '../assert.ts';
import { type Coverage, type Coverages, formatAhead } from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { LaneBounds } from '../mirror-limits.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, PositionStore } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { formatDuration } from '../units.ts';
import { ExpiringCursor } from './expiring-cursor.ts';
import { LaneCursor } from './lane-cursor.ts';
import { isEmpty, type MirrorBatch, type MirrorCursor, NOTHING } from './mirror-cursor.ts';
import type { LinkPolicy } from './policy/link-policy.ts';
import { PositionSaver, resumeFrom, type Resumption } from './positions.ts';
import { type Owed, Pump, type PumpFailure, type PumpObserver } from './pump.ts';
import type { SessionSampling } from './sampling.ts';
import type { TopicClass, Treatment } from './selection.ts';
import { afterAll, gapsOf, SkippingCursor, type Skips } from './skipping-cursor.ts';
import type {
  Batching,
  Liveness,
  MirrorStream,
  Rejection,
  Upstream,
  UpstreamSession,
} from './upstream.ts';

export interface LinkOptions {
  readonly upstream: Upstream;
  readonly reader: LogReader;
  readonly positions: PositionStore;
  readonly batching: Batching;
  readonly policy: LinkPolicy | undefined;
  readonly window: () => number;
  readonly sendMs: number;
  readonly drainMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly treatmentOf: (stream: StreamId) => Treatment;
  readonly laneBounds?: LaneBounds | undefined;
  /** Wall clock in ms; undefined: nothing expires at present. */
  readonly expiryNowMs?: (() => number | undefined) | undefined;
  /** What a person wants left out. */
  readonly skips: Skips;
  readonly sampling: SessionSampling;
  readonly observer: LinkObserver;
}

export interface LinkObserver extends Omit<PumpObserver, 'sampled'> {
  /** The session stands, and its positions, which are not stored yet, are these. */
  resuming(resumption: Resumption): Promise<void>;
  /** The session stands and begins at these positions; the seeks it was given are done. */
  begun(resumption: Resumption): Promise<void>;
  /** What was to be left out is behind the mirror, and the far side knows. */
  skipped(): Promise<void>;
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
  #cursor: MirrorCursor | undefined;
  #saver: PositionSaver | undefined;
  #session: UpstreamSession | undefined;
  #sought: Coverages = new Map();
  /** While it connects. */
  #connecting: AbortController | undefined;
  #networkChanged = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Monotonic ms since when the far side owes an answer. */
  get waitingSinceMs(): number | undefined {
    return this.#pump?.waitingSinceMs;
  }

  /** Monotonic ms since when the oldest batch without a receipt is on its way. */
  get underWaySinceMs(): number | undefined {
    return this.#pump?.underWaySinceMs;
  }

  /** undefined while there is no session, and where only receipts tell. */
  get liveness(): Liveness | undefined {
    return this.#session?.liveness;
  }

  /** What was begun on the old way is begun anew; what stands is asked whether it still does. */
  networkChanged(): void {
    this.#networkChanged = true;
    this.#connecting?.abort();
    this.#session?.probe?.();
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
    this.#session = session;
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
      await this.#options.policy?.leaving();
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
    const located = streams.map((at) => ({ ...at, had: positions.coverage(at.stream) }));
    const limit = new AbortController();
    const timer = clock.after(LIMITS.mirrorConnectMs, () => limit.abort());
    this.#connecting = limit;
    const onSought = (had: Coverages): void => {
      this.#sought = had;
    };
    const quarantine = async (rejected: readonly Rejection[]): Promise<void> => {
      await must(this.#pump, 'only what the pump sends is rejected').quarantine(rejected);
    };
    try {
      const either = AbortSignal.any([signal, limit.signal]);
      return await upstream.connect(located, either, { seek, onSought, quarantine });
    } catch (error) {
      if (!limit.signal.aborted) throw error;
      if (this.#networkChanged) throw new GatelogError('UPSTREAM_UNREACHABLE', NETWORK_CHANGED);
      const waited = formatDuration(LIMITS.mirrorConnectMs);
      throw new GatelogError('UPSTREAM_UNREACHABLE', `no session within ${waited}`, {
        cause: error,
      });
    } finally {
      timer.cancel();
      this.#connecting = undefined;
    }
  }

  /** Settles with the far side where to go on, and stores that. */
  async #resume(
    session: UpstreamSession,
    streams: readonly MirrorStream[],
    seek: ReadonlyMap<StreamId, number>,
  ): Promise<Coverages> {
    const { reader, positions: store, logger, observer } = this.#options;
    const local = store.coverages();
    const resumption = resumeFrom({
      streams,
      reader,
      local,
      far: session.positions,
      seek,
      sought: this.#sought,
    });
    for (const { at, local: ours, far, again } of resumption.farBehind) {
      const [first] = again;
      if (first === undefined) continue; // Nothing of it can be sent again.
      const { topic, partition } = at;
      logger.warn(
        { event: 'mirror.far-behind', topic, partition, local: ours, far, again },
        `the far side has ${topic}/${partition} up to ${said(far)}, though it had confirmed ` +
          `${said(ours)}: sending again from ${first.from}`,
      );
    }
    await observer.resuming(resumption);
    if (resumption.backward.size > 0) await store.seek(resumption.backward);
    if (resumption.forward.size > 0) await store.advance(resumption.forward);
    await store.found(resumption.positions.keys());
    await observer.begun(resumption);
    return resumption.positions;
  }

  async #pumpFrom(
    from: Coverages,
    session: UpstreamSession,
    signal: AbortSignal,
  ): Promise<PumpFailure | undefined> {
    const { clock, batching, window, sendMs, drainMs, sampling, observer } = this.#options;
    const saver = new PositionSaver(this.#options.positions, clock, (error) =>
      pump.fail({ error, local: true }),
    );
    const skipped = (): void => {
      observer.skipped().catch((error: unknown) => pump.fail({ error, local: true }));
    };
    const watching: PumpObserver = {
      missing: (gaps) => observer.missing(gaps),
      expired: (expired) => observer.expired(expired),
      sampled: (sampled) => sampling.sampled(sampled),
      quarantine: (...args) => observer.quarantine(...args),
      settled: (settlement) => {
        observer.settled(settlement);
        saver.note(settlement.positions);
        sampling
          .passed(settlement.positions)
          .catch((error: unknown) => pump.fail({ error, local: true }));
        if (settlement.batch.gaps.some(({ reason }) => reason === 'skipped')) skipped();
      },
      atEnd: (atEnd) => observer.atEnd(atEnd),
    };
    const left = gapsOf(this.#options.skips, from);
    const { unknown, givenUp } = await sampling.begin(from);
    const first = [
      { ...NOTHING, gaps: [...left, ...unknown] },
      { ...NOTHING, sampled: givenUp },
    ].filter((batch) => !isEmpty(batch));
    // What waits for receipts, as a policy does, waits no longer than there is who gives some.
    const failed = new AbortController();
    const cursor = this.#cursorFrom(from, first, AbortSignal.any([signal, failed.signal]));
    const pump = new Pump({
      cursor,
      from,
      batching,
      window,
      sendMs,
      clock,
      observer: watching,
      failed,
    });
    this.#saver = saver;
    this.#cursor = cursor;
    this.#pump = pump;
    if (left.length === 0) skipped(); // The far side has, or knows of, all of it.
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

  /** `first` is told before anything is read; `life` ends with the session. */
  #cursorFrom(from: Coverages, first: readonly MirrorBatch[], life: AbortSignal): MirrorCursor {
    const { reader, clock, treatmentOf, laneBounds: bounds, sampling, policy } = this.#options;
    const lanes = new LaneCursor({
      reader,
      from: afterAll(from, first),
      treatmentOf,
      bounds,
      sampling: { ...sampling, clock, signal: life },
    });
    const classOf = (stream: StreamId): TopicClass => treatmentOf(stream).class;
    const timely = new ExpiringCursor(lanes, this.#options.expiryNowMs);
    const allowed = policy?.cursor(timely, classOf, life) ?? timely;
    return new SkippingCursor(allowed, first);
  }
}

const NETWORK_CHANGED = 'the network changed while connecting; begun anew';

function drainError(drainMs: number): GatelogError {
  return new GatelogError(
    'UPSTREAM_UNCERTAIN',
    `the far side did not confirm what was sent within ${formatDuration(drainMs)} of ending the session`,
  );
}

function said(had: Coverage): string {
  const ahead = formatAhead(had);
  return ahead === '' ? String(had.next) : `${had.next} and ${ahead}`;
}
