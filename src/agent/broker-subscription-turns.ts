type Kind = 'subscribe' | 'unsubscribe';

/**
 * SUBSCRIBE and UNSUBSCRIBE of one client by turns: aedes works on all that have come at a time, and takes a filter
 * that is being given up for one that the client has. So one waits while others of the other kind are not answered.
 */
export class SubscriptionTurns<P extends { readonly cmd: string }> {
  readonly #give: (packet: P) => void;
  #kind: Kind | undefined;
  #open = 0;
  #waiting: P[] = [];

  constructor(give: (packet: P) => void) {
    this.#give = give;
  }

  /** False: aedes is to have it later, and is given it then. */
  admits(packet: P, kind: Kind): boolean {
    if (this.#waiting.length > 0 || (this.#open > 0 && this.#kind !== kind)) {
      this.#waiting.push(packet);
      return false;
    }
    this.#begin(kind);
    return true;
  }

  /** SUBACK or UNSUBACK leaves: what it says holds from now on. */
  answered(): void {
    this.#open--;
    if (this.#open === 0 && this.#waiting.length > 0) setImmediate(this.#goOn);
  }

  /** The connection ended. */
  clear(): void {
    this.#waiting = [];
  }

  #begin(kind: Kind): void {
    this.#kind = kind;
    this.#open++;
  }

  readonly #goOn = (): void => {
    const first = this.#waiting[0]?.cmd;
    const others = this.#waiting.findIndex(({ cmd }) => cmd !== first);
    for (const packet of this.#waiting.splice(0, others < 0 ? Infinity : others)) {
      this.#begin(packet.cmd as Kind);
      this.#give(packet);
    }
  };
}
