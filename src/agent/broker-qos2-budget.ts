import { LIMITS } from '../limits.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';

/** A user may have so many times what is free for everybody: three quarters of all, if it is alone. */
const OF_FREE = 3;
/** With the first message of each of its sessions it may have more. */
const OF_FREE_FIRST = 7;
/** Of what a user may still have, one session may have this part. */
const SESSION_PART = 8;

/**
 * Messages open in all sessions together: as many marks as the log remembers. Who has many leaves some to the
 * others: a user a part of what is free, and a session a part of what its user may still have. One message
 * a session has even of a user that floods, and so the sessions of that user's that mean well are served.
 */
export class SlotBudget {
  readonly #byUser = new Map<string | undefined, number>();
  #used = 0;

  /** For one session; `userOf`: whose it is. */
  share(userOf: () => string | undefined): SlotShare {
    return new SlotShare(this, userOf);
  }

  /** How many a session of that user may have open. */
  mostOf(user: string | undefined): number {
    const free = LIMITS.ownProducers - this.#used;
    const used = this.#byUser.get(user) ?? 0;
    const first = used < free * OF_FREE_FIRST ? 1 : 0;
    return Math.max((free * OF_FREE - used) / SESSION_PART, first);
  }

  count(user: string | undefined, slots: number): void {
    this.#used += slots;
    const used = (this.#byUser.get(user) ?? 0) + slots;
    if (used === 0) this.#byUser.delete(user);
    else this.#byUser.set(user, used);
  }
}

/** What one session takes of it. */
export class SlotShare {
  readonly #budget: SlotBudget;
  readonly #userOf: () => string | undefined;
  #user: string | undefined;
  #used = 0;

  constructor(budget: SlotBudget, userOf: () => string | undefined) {
    this.#budget = budget;
    this.#userOf = userOf;
    this.#user = userOf();
  }

  take(): void {
    this.#nameUser();
    if (this.#used >= this.#budget.mostOf(this.#user)) {
      throw new ProtocolViolation(
        REASON.quotaExceeded,
        `of the ${LIMITS.ownProducers} QoS 2 messages that may be open in all sessions together too many are its own, or its user’s`,
      );
    }
    this.#count(1);
  }

  /** Of another life. */
  restore(): void {
    this.#count(1);
  }

  giveBack(slots: number): void {
    this.#count(-slots);
  }

  /** A session may have gone over to another user. */
  #nameUser(): void {
    const user = this.#userOf();
    if (user === this.#user) return;
    const used = this.#used;
    this.#count(-used);
    this.#user = user;
    this.#count(used);
  }

  #count(slots: number): void {
    this.#used += slots;
    this.#budget.count(this.#user, slots);
  }
}
