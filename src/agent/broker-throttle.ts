import { LIMITS } from '../limits.ts';
import type { Clock } from '../time.ts';
import type { IngestGate } from './ingest.ts';

/** Who can be told to stop and go on reading. */
export interface Throttled {
  hold(): void;
  release(): void;
  touch(): void;
}

/**
 * Slows the devices when appends wait at their bound: every connection stops reading, so TCP holds
 * the rest back at the devices, until half of the bound is free. What is read beyond the bound is
 * at most the chunk at hand.
 */
export class Throttle {
  readonly #gate: Pick<IngestGate, 'congested' | 'relieved'>;
  readonly #clock: Pick<Clock, 'after'>;
  readonly #members = new Set<Throttled>();
  #congested = false;

  constructor(gate: Pick<IngestGate, 'congested' | 'relieved'>, clock: Pick<Clock, 'after'>) {
    this.#gate = gate;
    this.#clock = clock;
  }

  join(member: Throttled): void {
    this.#members.add(member);
    if (this.#congested) member.hold();
  }

  leave(member: Throttled): void {
    this.#members.delete(member);
  }

  /** Once per chunk read. */
  check(): void {
    if (this.#congested || !this.#gate.congested()) return;
    this.#congested = true;
    for (const member of this.#members) member.hold();
    let timer = this.#clock.after(LIMITS.touchMs, () => touch());
    const touch = (): void => {
      for (const member of this.#members) member.touch();
      timer = this.#clock.after(LIMITS.touchMs, () => touch());
    };
    const release = (): void => {
      timer.cancel();
      this.#congested = false;
      for (const member of this.#members) member.release();
    };
    this.#gate.relieved().then(release, release);
  }
}
