import type { JWTVerifyGetKey } from 'jose';
import type { AccessFileStatus } from '../admin/access-file-status.ts';
import { ACCESS_LIMITS } from '../access-limits.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, isoTime, type Timer } from '../time.ts';
import { formatDuration } from '../units.ts';
import type { TokenKeysUrlConfig } from './config-types.ts';
import { fetchText } from './fetch-text.ts';
import type { KeptKeysPlace, TokenKeys } from './token-key.ts';
import { TokenKeysFile } from './token-keys-kept.ts';

export interface TokenKeysSurroundings {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isClockSound: () => boolean;
  /** Undefined: the keys are kept nowhere. */
  readonly keptKeys?: KeptKeysPlace | undefined;
}

/**
 * A JWKS behind a URL, asked again from time to time, and when a token names a key that is not in it. The
 * link may be away: what was had last stays in use for as long as `keep` says, over restarts too, and no start
 * waits for it.
 */
export class TokenKeysUrl implements TokenKeys {
  readonly #config: TokenKeysUrlConfig;
  readonly #keyOf: (text: string, source: string) => JWTVerifyGetKey;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #isClockSound: () => boolean;
  readonly #kept: TokenKeysFile | undefined;
  #keptText = '';
  #keptMs = Number.NEGATIVE_INFINITY;
  #key: JWTVerifyGetKey | undefined;
  #hadMs = Number.NEGATIVE_INFINITY;
  #askedMs = Number.NEGATIVE_INFINITY;
  #trouble: string | undefined;
  #troubleSinceMs = 0;
  #timer: Timer | undefined;
  #asking: Promise<void> | undefined;
  #stopped = false;

  private constructor(
    config: TokenKeysUrlConfig,
    keyFrom: (text: string, source: string) => JWTVerifyGetKey,
    { clock, logger, isClockSound, keptKeys }: TokenKeysSurroundings,
  ) {
    this.#config = config;
    this.#keyOf = keyFrom;
    this.#clock = clock;
    this.#logger = logger;
    this.#isClockSound = isClockSound;
    this.#kept = keptKeys === undefined ? undefined : new TokenKeysFile(keptKeys, config.url);
  }

  static async open(
    config: TokenKeysUrlConfig,
    keyFrom: (text: string, source: string) => JWTVerifyGetKey,
    surroundings: TokenKeysSurroundings,
  ): Promise<TokenKeysUrl> {
    const keys = new TokenKeysUrl(config, keyFrom, surroundings);
    await keys.#takeKept();
    void keys.look();
    return keys;
  }

  get key(): JWTVerifyGetKey | undefined {
    const isKept = this.#clock.monotonicMs() - this.#hadMs <= this.#config.keepMs;
    return isKept ? this.#key : undefined;
  }

  async missing(): Promise<void> {
    // Anybody may name a key that does not exist.
    const sinceMs = this.#clock.monotonicMs() - this.#askedMs;
    if (sinceMs >= ACCESS_LIMITS.tokenKeysAgainMs) await this.look();
    else await this.#asking;
  }

  look(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
      this.#later();
    });
    return this.#asking;
  }

  status(): AccessFileStatus {
    const trouble = this.#trouble === undefined ? null : `${this.#trouble}; ${this.#meanwhile()}`;
    const since = trouble === null ? null : isoTime(this.#troubleSinceMs);
    return { what: 'keys', source: this.#config.url, trouble, since };
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #later(): void {
    if (this.#stopped) return;
    const { refreshMs } = this.#config;
    const waitMs =
      this.#trouble === undefined ? refreshMs : Math.min(refreshMs, ACCESS_LIMITS.tokenKeysAgainMs);
    this.#timer?.cancel();
    this.#timer = this.#clock.after(waitMs, () => void this.look());
  }

  async #ask(): Promise<void> {
    const { url } = this.#config;
    this.#askedMs = this.#clock.monotonicMs();
    try {
      const { tokenKeysWaitMs, tokenKeysBytes } = ACCESS_LIMITS;
      const text = await fetchText(url, tokenKeysBytes, tokenKeysWaitMs);
      this.#key = this.#keyOf(text, url);
      this.#hadMs = this.#clock.monotonicMs();
      await this.#keep(text);
      if (this.#trouble !== undefined) {
        this.#logger.info({ event: 'keys.usable', url }, `${url} can be used again`);
      }
      this.#trouble = undefined;
    } catch (error) {
      const trouble = messageOf(error);
      if (trouble === this.#trouble || this.#stopped) return;
      if (this.#trouble === undefined) this.#troubleSinceMs = this.#clock.nowMs();
      this.#trouble = trouble;
      this.#logger.error({ event: 'keys.unusable', url }, `${trouble}; ${this.#meanwhile()}`);
    }
  }

  #meanwhile(): string {
    if (this.key === undefined) return 'until it answers no token can be checked';
    const agoMs = this.#clock.monotonicMs() - this.#hadMs;
    const [ago, most] = [agoMs, this.#config.keepMs].map((ms) => formatDuration(ms));
    return `the keys that it gave ${ago} ago stay in use, up to ${most}`;
  }

  /** Those of another life, as old as they are. Where nobody knows the time they count from now: late rather than early. */
  async #takeKept(): Promise<void> {
    try {
      const kept = await this.#kept?.read();
      if (kept === undefined) return;
      const isKnown = kept.hadMs !== null && this.#isClockSound();
      const ageMs = isKnown ? Math.max(this.#clock.nowMs() - (kept.hadMs ?? 0), 0) : 0;
      this.#key = this.#keyOf(kept.text, this.#config.url);
      this.#hadMs = this.#clock.monotonicMs() - ageMs;
      this.#keptText = kept.text;
    } catch (error) {
      this.#logger.warn({ event: 'keys.unkept' }, `${messageOf(error)}; it is written anew`);
    }
  }

  /** Not each time: a card wears. */
  async #keep(text: string): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const everyMs = Math.min(this.#config.keepMs / 4, ACCESS_LIMITS.tokenKeysNoteMs);
    const isSame = text === this.#keptText || this.#keptText === '';
    if (isSame && nowMs - this.#keptMs < everyMs) return;
    const hadMs = this.#isClockSound() ? this.#clock.nowMs() : null;
    try {
      this.#keptMs = nowMs;
      await this.#kept?.write({ text, hadMs });
      this.#keptText = text;
    } catch (error) {
      const line = `the keys of tokens can't be kept for the next start: ${messageOf(error)}`;
      this.#logger.warn({ event: 'keys.unkept' }, line);
    }
  }
}
