import { createHash, timingSafeEqual } from 'node:crypto';

export interface BrokerUser {
  readonly username: string;
  readonly password: string;
}

export type Verdict = 'accepted' | 'anonymous' | 'wrong';

/**
 * User names and passwords. Hashes of equal length are compared in constant time, and a name that
 * is not known takes as long as one that is. Hashed for the comparison only, not for storage.
 */
export class UserTable {
  readonly #hashes = new Map<string, Buffer>();
  readonly #nobody: Buffer = digest('');

  constructor(users: readonly BrokerUser[]) {
    for (const { username, password } of users) this.#hashes.set(username, digest(password));
  }

  /** Without users everyone may connect. */
  check(username: string | undefined, password: Uint8Array | undefined): Verdict {
    if (this.#hashes.size === 0) return 'accepted';
    if (username === undefined) return 'anonymous';
    const known = this.#hashes.get(username);
    const same = timingSafeEqual(known ?? this.#nobody, digest(password ?? ''));
    return same && known !== undefined ? 'accepted' : 'wrong';
  }
}

function digest(text: string | Uint8Array): Buffer {
  return createHash('sha256').update(text).digest();
}
