import type { KeptPacket } from './broker-session-codec.ts';

/** One may have so many times what is free for everybody: three quarters of all, if it is alone. */
const OF_FREE = 3;

/**
 * Whose the bytes of retained messages are: a user's, or where nobody logs in a client's. Who has many leaves some to the
 * others.
 */
export class RetainedShares {
  readonly #maxBytes: number;
  readonly #byOwner = new Map<string, number>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `instead`: bytes of the message that it replaces, and whose that is. */
  admits(packet: KeptPacket, bytes: number, instead: KeptPacket | undefined, its: number): boolean {
    const all = this.#bytes - its + bytes;
    if (all > this.#maxBytes) return false;
    const owner = ownerOf(packet);
    const isOwn = instead !== undefined && ownerOf(instead) === owner;
    if (isOwn && bytes <= its) return true;
    const own = (this.#byOwner.get(owner) ?? 0) - (isOwn ? its : 0) + bytes;
    return own <= (this.#maxBytes - all) * OF_FREE;
  }

  count(packet: KeptPacket, bytes: number): void {
    this.#bytes += bytes;
    const owner = ownerOf(packet);
    const own = (this.#byOwner.get(owner) ?? 0) + bytes;
    if (own === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, own);
  }
}

function ownerOf({ leftBy, clientId = '' }: KeptPacket): string {
  return leftBy?.user === undefined ? `client ${clientId}` : `user ${leftBy.user}`;
}
