import { LIMITS } from '../limits.ts';

/** Who holds parts of packets. */
export interface PartHolder {
  /** It holds most while all hold too much. */
  heldTooMuch(): void;
}

/** Parts of packets that have not come whole, of all connections together: beyond the bound who holds most goes. */
export class HeldParts {
  readonly #byHolder = new Map<PartHolder, number>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  set(holder: PartHolder, bytes: number): void {
    const before = this.#byHolder.get(holder) ?? 0;
    if (before === bytes) return;
    this.#bytes += bytes - before;
    if (bytes === 0) this.#byHolder.delete(holder);
    else this.#byHolder.set(holder, bytes);
    if (bytes > before && this.#bytes > LIMITS.heldBytes)
      this.#largest(holder, bytes).heldTooMuch();
  }

  /** Of equal ones the one that grew. */
  #largest(holder: PartHolder, bytes: number): PartHolder {
    let largest = holder;
    let most = bytes;
    for (const [other, held] of this.#byHolder) {
      if (held <= most) continue;
      largest = other;
      most = held;
    }
    return largest;
  }
}
