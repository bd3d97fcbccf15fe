import { createHash, timingSafeEqual } from 'node:crypto';
import { systemRandom } from '../random.ts';
import type { UsersFile } from './broker-users-file.ts';
import { PasswordCheck } from './password-check.ts';
import { makeEntry, parseEntry } from './password-entry.ts';
import type { FileUser } from './users-file.ts';

export interface BrokerUser {
  readonly username: string;
  readonly password: string;
}

export type Verdict = 'accepted' | 'anonymous' | 'wrong';

const NO_PASSWORD = new Uint8Array();

/**
 * User names and passwords, of the configuration and of a file. Hashes are compared in constant time,
 * and a name that is not known takes as long as one that is. Those of the configuration are hashed
 * for the comparison only, not for storage.
 */
export class UserTable {
  readonly #hashes = new Map<string, Buffer>();
  readonly #nobody: Buffer = digest('');
  readonly #file: UsersFile | undefined;
  readonly #check = new PasswordCheck(systemRandom);
  /** What a name that is not known is compared with where the file has nobody. */
  #stranger: Promise<FileUser> | undefined;

  constructor(users: readonly BrokerUser[], file?: UsersFile) {
    this.use(users);
    this.#file = file;
  }

  /** Those of the configuration are these from now on. */
  use(users: readonly BrokerUser[]): void {
    this.#hashes.clear();
    for (const { username, password } of users) this.#hashes.set(username, digest(password));
  }

  get #isEmpty(): boolean {
    return this.#hashes.size === 0 && this.#file === undefined;
  }

  /**
   * `anonymous`: who gives no name may connect here; without users everybody, whatever name they give.
   * A name that is given must be right where there are users. `isGone`: nobody waits for it any more. `from`: its address.
   */
  async check(
    username: string | undefined,
    password: Uint8Array | undefined,
    anonymous: boolean,
    isGone: () => boolean,
    from: string,
  ): Promise<Verdict> {
    if (anonymous && (username === undefined || this.#isEmpty)) return 'accepted';
    if (username === undefined) return 'anonymous';
    const known = this.#hashes.get(username);
    const same = timingSafeEqual(known ?? this.#nobody, digest(password ?? ''));
    if (known !== undefined && same) return 'accepted';
    if (this.#file === undefined) return 'wrong';
    // Also for who stands in the configuration, whose name would be told by a quick answer.
    const user = known === undefined ? this.#file.find(username) : undefined;
    const like = this.#file.like(username);
    const entry =
      user ?? (like === undefined ? await (this.#stranger ??= stranger()) : unlike(like));
    const right = await this.#check.isRight(username, password ?? NO_PASSWORD, entry, isGone, from);
    // The file may have changed meanwhile.
    return right && this.#file.find(username)?.text === user?.text && user !== undefined
      ? 'accepted'
      : 'wrong';
  }

  /** What a login stands on; another one later means that it is not good any more. */
  standing(username: string): string | undefined {
    const own = this.#hashes.get(username);
    if (own !== undefined) return own.toString('base64');
    return this.#file?.find(username)?.text;
  }
}

/** No password is right for it, and finding that out takes as long as for the other. */
function unlike({ entry }: FileUser): FileUser {
  const hash = Buffer.from(systemRandom.hex(entry.hash.length), 'hex');
  return { text: '', entry: { ...entry, hash } };
}

async function stranger(): Promise<FileUser> {
  const text = await makeEntry(Buffer.from(systemRandom.hex(16)), systemRandom);
  const entry = parseEntry(text);
  if (entry === undefined) throw new Error('an entry of our own can be read');
  return { text, entry };
}

function digest(text: string | Uint8Array): Buffer {
  return createHash('sha256').update(text).digest();
}
