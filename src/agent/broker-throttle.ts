import type { IngestGate } from './ingest.ts';

/** Who can be told to stop and go on reading. */
export interface Throttled {
  hold(): void;
  release(): void;
}

/**
 * Slows the devices when appends wait at their bound: every connection stops reading, so TCP holds
 * the rest back at the devices, until half of the bound is free. What is read beyond the bound is
 * at most the chunk at hand.
 */
export class Throttle {
  readonly #gate: IngestGate;
  readonly #members = new Set<Throttled>();
  #congested = false;

  constructor(gate: IngestGate) {
    this.#gate = gate;
  }

  get congested(): boolean {
    return this.#congested;
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
    const release = (): void => {
      this.#congested = false;
      for (const member of this.#members) member.release();
    };
    this.#gate.relieved().then(release, release);
  }
}
