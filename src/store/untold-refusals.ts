import type { GatelogError } from '../errors.ts';
import type { AppendDone } from './log.ts';

interface Untold {
  readonly error: GatelogError;
  count: number;
}

/**
 * Producers whose append was refused, and who do not know yet, because a refusal keeps its place in
 * the order: what they send behind it can be for a topic that has room.
 */
export class UntoldRefusals {
  readonly #byProducer = new Map<string, Untold>();

  of(producer: string): GatelogError | undefined {
    return this.#byProducer.size === 0 ? undefined : this.#byProducer.get(producer)?.error;
  }

  /** `done` that also notes that the producer was told. */
  telling(producer: string, error: GatelogError, done: AppendDone): AppendDone {
    const untold = this.#byProducer.get(producer) ?? { error, count: 0 };
    untold.count++;
    this.#byProducer.set(producer, untold);
    return (failure, offset) => {
      untold.count--;
      if (untold.count === 0) this.#byProducer.delete(producer);
      done(failure, offset);
    };
  }
}
