/**
 * The last sequences of devices that number their messages, by whose they are (`~device/WHOSE/`), in the
 * order in which they were last heard. At the bound who has more than an equal share gives up its own
 * silent one, else whoever has most: so nobody can make another's be forgotten by inventing many.
 */
export class DeviceProducers {
  readonly #bound: number;
  readonly #byOwner = new Map<string, Map<string, number>>();
  #size = 0;
  forgotten = 0;

  constructor(bound: number) {
    this.#bound = bound;
  }

  get size(): number {
    return this.#size;
  }

  get(producer: string): number | undefined {
    return this.#byOwner.get(ownerOf(producer))?.get(producer);
  }

  set(producer: string, sequence: number): void {
    this.delete(producer);
    const owner = ownerOf(producer);
    const its = this.#byOwner.get(owner) ?? new Map<string, number>();
    its.set(producer, sequence);
    // Behind all others: it was heard last.
    this.#byOwner.delete(owner);
    this.#byOwner.set(owner, its);
    this.#size++;
    if (this.#size > this.#bound) this.#giveUpOne(its);
  }

  delete(producer: string): boolean {
    const owner = ownerOf(producer);
    const its = this.#byOwner.get(owner);
    if (its?.delete(producer) !== true) return false;
    if (its.size === 0) this.#byOwner.delete(owner);
    this.#size--;
    return true;
  }

  *[Symbol.iterator](): Generator<[string, number]> {
    for (const its of this.#byOwner.values()) yield* its;
  }

  #giveUpOne(newest: Map<string, number>): void {
    let most = newest;
    // Everybody is looked through only for who is within its share.
    if (newest.size === 1 || newest.size * this.#byOwner.size <= this.#bound) {
      const everybody = [...this.#byOwner.values()];
      most = everybody.reduce((one, other) => (other.size > one.size ? other : one));
    }
    const [oldest] = most.keys();
    if (oldest === undefined) return;
    this.delete(oldest);
    this.forgotten++;
  }
}

function ownerOf(producer: string): string {
  return producer.slice(0, producer.lastIndexOf('/'));
}
