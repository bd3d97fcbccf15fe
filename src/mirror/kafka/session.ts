import type { Coverage, Coverages } from '../../coverage.ts';
import { GatelogError, messageOf } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Clock, Timer } from '../../time.ts';
import { DAY_MS } from '../../units.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { Liveness, Receipt, UpstreamSession } from '../upstream.ts';
import type { Shipment } from './encode.ts';
import type { Links } from './links.ts';

/** What the two kinds of delivery have in common. */
export interface Delivery {
  /** Encodes and compresses; keeps none of the records. */
  prepare(slices: readonly Slice[]): Promise<Shipment>;
  /**
   * `after`: what has been had of its streams then, in one step with it where positions are kept. MAY be
   * called before the call before it has settled; delivers in the order of the calls.
   */
  deliver(shipment: Shipment, after: Coverages): Promise<Receipt>;
  /** Commits positions alone; absent where the far side keeps none. */
  commitPositions?(positions: Coverages): Promise<void>;
}

export interface KafkaSessionOptions {
  readonly links: Links;
  readonly broken: Promise<never>;
  readonly delivery: Delivery;
  readonly positions: Coverages;
  readonly clock: Clock;
  /** Every byte costs at present. */
  readonly isCostly: () => boolean;
  readonly end: () => void;
}

/** How often an idle cluster is asked: one broker, and all. */
const PROBES = {
  free: { oneMs: MIRROR_LIMITS.kafkaProbeMs, allMs: MIRROR_LIMITS.kafkaProbeAllMs },
  costly: { oneMs: MIRROR_LIMITS.kafkaCostlyProbeMs, allMs: MIRROR_LIMITS.kafkaCostlyProbeAllMs },
} as const;

/** A committed offset expires seven days after its own last commit; idle ones are renewed daily. */
const RENEW_MS = DAY_MS;

export class KafkaSession implements UpstreamSession {
  readonly positions: Coverages;
  /** `prepare` encodes into buffers of its own. */
  readonly copiesRecords = true;
  readonly broken: Promise<never>;
  readonly #links: Links;
  readonly #delivery: Delivery;
  readonly #clock: Clock;
  readonly #committed: Map<StreamId, Coverage>;
  readonly #end: () => void;
  readonly #isCostly: () => boolean;
  /** By which the next probe was set. */
  #probes: (typeof PROBES)['free' | 'costly'] = PROBES.free;
  /** The last batch is in the hands of the delivery. */
  #handed: Promise<unknown> = Promise.resolve();
  /** Everything handed over is settled. */
  #settled: Promise<unknown> = Promise.resolve();
  #heartbeat: Timer | undefined;
  #renewedMs: number;
  #answeredMs: number;
  #probedAllMs: number;
  #ended = false;

  constructor({ links, broken, delivery, positions, clock, isCostly, end }: KafkaSessionOptions) {
    this.#links = links;
    this.#end = end;
    this.#isCostly = isCostly;
    this.#delivery = delivery;
    this.#clock = clock;
    this.positions = positions;
    this.#committed = new Map(positions);
    this.#renewedMs = clock.monotonicMs();
    this.broken = broken;
    this.#answeredMs = clock.monotonicMs();
    this.#probedAllMs = this.#answeredMs;
    links.onAnswer = () => {
      this.#answeredMs = clock.monotonicMs();
    };
    this.#beat();
  }

  get liveness(): Liveness {
    return { answeredMs: this.#answeredMs, probedAfterMs: this.#probes.oneMs };
  }

  get patienceMs(): number {
    return this.#links.patienceMs;
  }

  probe(): void {
    void this.#check('all', false);
  }

  /** Encodes at once, while earlier batches are on the wire; delivers in call order. */
  async send(batch: readonly Slice[], after: Coverages): Promise<Receipt> {
    const ready = this.#delivery.prepare(batch);
    ready.catch(() => {});
    const handed = this.#handed.then(async () => {
      const shipment = await ready;
      this.#mustBeOpen();
      return { delivered: this.#follow(this.#delivery.deliver(shipment, after)) };
    });
    this.#handed = handed;
    handed.catch(() => {});
    const { delivered } = await handed;
    const receipt = await delivered;
    this.#links.progressed();
    for (const [stream, had] of after) this.#committed.set(stream, had);
    return receipt;
  }

  /** When one fails every later one does, so the last one tells of all. */
  #follow<T>(delivered: Promise<T>): Promise<T> {
    this.#settled = bothSettled(this.#settled, delivered);
    this.#settled.catch(() => {}); // Told to who sent it.
    return delivered;
  }

  /** Breaks the links, so that whatever is under way fails; waits until it has. */
  async close(): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      this.#heartbeat?.cancel();
      this.#end();
    }
    await this.#handed.catch(() => {}); // Told to who sent it.
    await this.#settled.catch(() => {});
  }

  #mustBeOpen(): void {
    if (this.#ended) throw closedError();
  }

  /**
   * An idle connection without traffic can't be told from a dead one (the library sets no TCP
   * keep-alive), NAT forgets it, and brokers close those idle for ten minutes. One answer shows that
   * the link lives, which all of them go over; so all are asked seldom, and both more seldom where it costs.
   */
  #beat(): void {
    this.#probes = this.#isCostly() ? PROBES.costly : PROBES.free;
    const silentMs = this.#clock.monotonicMs() - this.#answeredMs;
    const waitMs = Math.max(this.#probes.oneMs - silentMs, this.#probes.oneMs / 2);
    this.#heartbeat = this.#clock.after(waitMs, () => {
      void this.#check(this.#whomToProbe(), true);
    });
  }

  #whomToProbe(): 'one' | 'all' | undefined {
    const nowMs = this.#clock.monotonicMs();
    const { oneMs, allMs } = this.#probes;
    // The next time would be too late.
    if (nowMs + oneMs - this.#probedAllMs > allMs) return 'all';
    return nowMs - this.#answeredMs >= oneMs / 2 ? 'one' : undefined;
  }

  async #check(whom: 'one' | 'all' | undefined, goesOn: boolean): Promise<void> {
    try {
      if (whom === 'all') this.#probedAllMs = this.#clock.monotonicMs();
      if (whom !== undefined) await this.#links.probe(whom);
      if (this.#clock.monotonicMs() - this.#renewedMs > RENEW_MS) await this.#renew();
    } catch (error) {
      if (!this.#ended) this.#links.breakOff(asTrouble(error));
    }
    if (goesOn && !this.#ended) this.#beat();
  }

  async #renew(): Promise<void> {
    const delivery = this.#delivery;
    this.#renewedMs = this.#clock.monotonicMs();
    if (this.#committed.size === 0) return;
    // Alone: positions on their way at the same time are newer than what is known here.
    const renewed = this.#handed
      .then(() => this.#settled)
      .then(() => delivery.commitPositions?.(this.#committed));
    this.#handed = renewed;
    await this.#follow(renewed);
  }
}

/** Resolves or rejects when nothing of either is under way any more; keeps no results. */
async function bothSettled(one: Promise<unknown>, other: Promise<unknown>): Promise<void> {
  await Promise.allSettled([one, other]);
  await one;
  await other;
}

function closedError(): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', 'The session with Kafka was closed');
}

function asTrouble(error: unknown): GatelogError {
  if (error instanceof GatelogError) return error;
  return new GatelogError('UPSTREAM_UNREACHABLE', `Kafka: ${messageOf(error)}`, { cause: error });
}
