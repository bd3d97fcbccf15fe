import { GatelogError } from '../errors.ts';

/** Something at a far side that one mirror alone may use. */
export interface Claim {
  /** The same for whoever means the same thing. */
  readonly key: string;
  /** For people: what both do, and what to do about it. */
  readonly conflict: string;
}

/**
 * What the mirrors of one process hold at far sides. That two addresses lead to one cluster is known
 * only when it was reached: then the one that comes second is refused, before it changes anything.
 */
export class Claims {
  readonly #holders = new Map<string, string>();

  /** Throws UPSTREAM_MISMATCH when another mirror holds one of these. What a mirror holds it keeps until it ends. */
  take(mirror: string, claims: readonly Claim[]): void {
    for (const { key, conflict } of claims) {
      const holder = this.#holders.get(key);
      if (holder === undefined || holder === mirror) continue;
      throw new GatelogError(
        'UPSTREAM_MISMATCH',
        `mirror "${holder}" of this gateway sends to the same far side under another address: ${conflict}`,
      );
    }
    for (const { key } of claims) this.#holders.set(key, mirror);
  }

  /** It has ended. */
  release(mirror: string): void {
    for (const [key, holder] of this.#holders) if (holder === mirror) this.#holders.delete(key);
  }
}
