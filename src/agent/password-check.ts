import { createHmac } from 'node:crypto';
import { ACCESS_LIMITS } from '../access-limits.ts';
import type { Random } from '../random.ts';
import { matchesEntry } from './password-entry.ts';
import type { FileUser } from './users-file.ts';

/**
 * Compares passwords with a file's entries: a few at a time, beside the event loop, and one address after
 * the other, so that who sends many waits for itself. Those that were
 * right are known again without hashing, by a keyed digest whose key never leaves this process.
 */
export class PasswordCheck {
  readonly #key: Buffer;
  /** Digest of name and password → the entry that it was right for. */
  readonly #known = new Map<string, string>();
  /** By address; the one whose turn is next stands first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #running = 0;

  constructor(random: Random) {
    this.#key = Buffer.from(random.hex(32), 'hex');
  }

  /** `isGone`: nobody waits for the answer any more, and it may be false. */
  async isRight(
    name: string,
    password: Uint8Array,
    user: FileUser,
    isGone: () => boolean,
    from: string,
  ): Promise<boolean> {
    const digest = createHmac('sha256', this.#key)
      .update(`${name}\0`)
      .update(password)
      .digest('base64');
    if (this.#known.get(digest) === user.text) return true;
    await this.#turn(from);
    try {
      const isRight = !isGone() && (await matchesEntry(user.entry, password));
      if (isRight) this.#remember(digest, user.text);
      return isRight;
    } finally {
      this.#next();
    }
  }

  async #turn(from: string): Promise<void> {
    if (this.#running < ACCESS_LIMITS.hashesAtOnce) {
      this.#running++;
      return;
    }
    await new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(from);
      if (waiting === undefined) this.#waiting.set(from, [resolve]);
      else waiting.push(resolve);
    });
  }

  /** Hands the place on. */
  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#running--;
      return;
    }
    const [from, [resolve, ...others]] = first;
    this.#waiting.delete(from);
    if (others.length > 0) this.#waiting.set(from, others);
    resolve?.();
  }

  #remember(digest: string, entry: string): void {
    if (this.#known.size >= ACCESS_LIMITS.knownPasswords) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    this.#known.set(digest, entry);
  }
}
