import { LIMITS } from '../limits.ts';
import { DeviceProducers } from './device-producers.ts';
import {
  DEVICE_PRODUCER,
  type DeviceProducerCounts,
  OWN_PRODUCER,
  type ProducerBook,
} from './log.ts';

/**
 * The last sequence of every producer that appends idempotently. What is written and what only
 * waits are kept apart, so that a failed commit forgets exactly its own. Beyond the bound the
 * producer that was silent longest is forgotten; our own and those of devices have bounds of their
 * own, so that they push out nobody else.
 */
export class Producers implements ProducerBook {
  readonly #others = new Map<string, number>();
  readonly #own = new Map<string, number>();
  readonly #devices = new DeviceProducers(LIMITS.deviceProducers);
  readonly #pending = new Map<string, number>();
  #changed = new Map<string, number>();

  last(producer: string): number {
    return this.#pending.get(producer) ?? this.#groupOf(producer).get(producer) ?? -1;
  }

  note(producer: string, sequence: number): void {
    this.#pending.set(producer, sequence);
  }

  commit(producers: Iterable<readonly [string, number]>): void {
    for (const [producer, sequence] of producers) {
      this.restore(producer, sequence);
      this.#changed.set(producer, sequence);
      if (this.#pending.get(producer) === sequence) this.#pending.delete(producer);
    }
  }

  /** As `commit`, for what a checkpoint holds already. */
  restore(producer: string, sequence: number): void {
    const group = this.#groupOf(producer);
    group.delete(producer);
    group.set(producer, sequence);
    const { size } = this.#others;
    if (this.#own.size > LIMITS.ownProducers) deleteOldest(this.#own);
    else if (size + this.#own.size + this.#devices.size > LIMITS.producers) {
      deleteOldest(this.#others);
    }
  }

  forget(producers: Iterable<string>): void {
    for (const producer of producers) {
      this.#groupOf(producer).delete(producer);
      this.#changed.delete(producer);
    }
  }

  /**
   * On opening. What no checkpoint of the log holds, the next one has to: those after it point to it,
   * and one before it knows older sequences.
   */
  restoreAll(producers: Iterable<readonly [string, number]>, isHeld: boolean): void {
    if (!isHeld) this.commit(producers);
    else for (const [producer, sequence] of producers) this.restore(producer, sequence);
  }

  #groupOf(producer: string): Map<string, number> | DeviceProducers {
    if (!producer.startsWith(OWN_PRODUCER)) return this.#others;
    return producer.startsWith(DEVICE_PRODUCER) ? this.#devices : this.#own;
  }

  forgetPending(): void {
    this.#pending.clear();
  }

  startingWith(prefix: string): [string, number][] {
    return this.all().filter(([name]) => name.startsWith(prefix));
  }

  all(): [string, number][] {
    return [...this.#others, ...this.#own, ...this.#devices];
  }

  devices(): DeviceProducerCounts {
    return { remembered: this.#devices.size, forgotten: this.#devices.forgotten };
  }

  /** Those changed since the last checkpoint. */
  changed(): [string, number][] {
    return [...this.#changed];
  }

  /** A checkpoint holds what was changed. */
  checkpointed(): void {
    this.#changed = new Map();
  }
}

function deleteOldest(producers: Map<string, number>): void {
  const [oldest] = producers.keys();
  if (oldest !== undefined) producers.delete(oldest);
}
