import { GatelogError, messageOf } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Clock, Timer } from '../../time.ts';
import type { Receipt, UpstreamSession } from '../upstream.ts';
import type { Shipment } from './encode.ts';
import type { Links } from './links.ts';

/** What the two kinds of delivery have in common. */
export interface Delivery {
  /** Encodes and compresses; keeps none of the records. */
  prepare(slices: readonly Slice[]): Promise<Shipment>;
  deliver(shipment: Shipment): Promise<Receipt>;
  /** Commits positions alone; absent where the far side keeps none. */
  commitPositions?(positions: ReadonlyMap<StreamId, number>): Promise<void>;
}

/**
 * An idle connection without traffic can't be told from a dead one (the library sets no TCP
 * keep-alive), and brokers close connections idle for ten minutes: one small request a minute.
 */
const HEARTBEAT_MS = 60_000;
/** A committed offset expires seven days after its own last commit; idle ones are renewed daily. */
const RENEW_MS = 86_400_000;

export class KafkaSession implements UpstreamSession {
  readonly positions: ReadonlyMap<StreamId, number>;
  /** `prepare` encodes into buffers of its own. */
  readonly copiesRecords = true;
  readonly broken: Promise<never>;
  readonly #links: Links;
  readonly #delivery: Delivery;
  readonly #clock: Clock;
  readonly #committed: Map<StreamId, number>;
  readonly #end: () => void;
  #tail: Promise<unknown> = Promise.resolve();
  #heartbeat: Timer | undefined;
  #renewedMs: number;
  #ended = false;

  constructor(
    links: Links,
    broken: Promise<never>,
    delivery: Delivery,
    positions: ReadonlyMap<StreamId, number>,
    clock: Clock,
    end: () => void,
  ) {
    this.#links = links;
    this.#end = end;
    this.#delivery = delivery;
    this.#clock = clock;
    this.positions = positions;
    this.#committed = new Map(positions);
    this.#renewedMs = clock.monotonicMs();
    this.broken = broken;
    this.#beat();
  }

  /** Encodes at once, while earlier batches are on the wire; delivers in call order. */
  send(batch: readonly Slice[]): Promise<Receipt> {
    const ready = this.#delivery.prepare(batch);
    ready.catch(() => {});
    const delivered = this.#tail.then(async () => {
      const shipment = await ready;
      this.#mustBeOpen();
      const receipt = await this.#delivery.deliver(shipment);
      for (const [stream, position] of receipt.positions) this.#committed.set(stream, position);
      return receipt;
    });
    this.#tail = delivered;
    delivered.catch(() => {});
    return delivered;
  }

  /** Breaks the links, so that whatever is under way fails; waits until it has. */
  async close(): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      this.#heartbeat?.cancel();
      this.#end();
    }
    await this.#tail.catch(() => {}); // Told to who sent it.
  }

  #mustBeOpen(): void {
    if (this.#ended) throw closedError();
  }

  #beat(): void {
    this.#heartbeat = this.#clock.after(HEARTBEAT_MS, () => {
      void this.#check();
    });
  }

  /** A failed request breaks its link, and that ends the session. */
  async #check(): Promise<void> {
    try {
      await Promise.all(this.#links.addresses.map((address) => this.#links.versions(address)));
      if (this.#clock.monotonicMs() - this.#renewedMs > RENEW_MS) await this.#renew();
    } catch (error) {
      if (!this.#ended) this.#links.breakOff(asTrouble(error));
    }
    if (!this.#ended) this.#beat();
  }

  async #renew(): Promise<void> {
    const delivery = this.#delivery;
    this.#renewedMs = this.#clock.monotonicMs();
    if (this.#committed.size === 0) return;
    const renewed = this.#tail.then(() => delivery.commitPositions?.(this.#committed));
    this.#tail = renewed;
    await renewed;
  }
}

function closedError(): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', 'The session with Kafka was closed');
}

function asTrouble(error: unknown): GatelogError {
  if (error instanceof GatelogError) return error;
  return new GatelogError('UPSTREAM_UNREACHABLE', `Kafka: ${messageOf(error)}`, { cause: error });
}
