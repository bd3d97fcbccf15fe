import type { AccessFileStatus } from '../admin/access-file-status.ts';
import type { JwtConfig } from './config-types.ts';
import { TokenCheck, type TokenRefusal, type TokenUser } from './token-check.ts';
import type { TokenKeys } from './token-key.ts';
import { openTokenKeys } from './token-keys.ts';
import type { TokenKeysSurroundings } from './token-keys-url.ts';

/** Tokens and the keys that they are looked at with. All that loads the library stands behind this module. */
export class TokenDoor {
  readonly #keys: TokenKeys | undefined;
  readonly #check: TokenCheck;

  private constructor(keys: TokenKeys | undefined, check: TokenCheck) {
    this.#keys = keys;
    this.#check = check;
  }

  /** Throws CONFIG_INVALID where the file of keys can't be used. */
  static async open(config: JwtConfig, surroundings: TokenKeysSurroundings): Promise<TokenDoor> {
    const { clock, isClockSound } = surroundings;
    const keys =
      config.keys === undefined ? undefined : await openTokenKeys(config.keys, surroundings);
    return new TokenDoor(keys, new TokenCheck(config, keys, clock, isClockSound));
  }

  check(token: string): Promise<TokenUser | TokenRefusal> {
    return this.#check.check(token);
  }

  async look(): Promise<void> {
    await this.#keys?.look();
  }

  status(): AccessFileStatus | undefined {
    return this.#keys?.status();
  }

  stop(): void {
    this.#keys?.stop();
  }
}
