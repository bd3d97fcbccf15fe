import type { JWTVerifyGetKey } from 'jose';
import { jwtVerify } from 'jose/jwt/verify';
import * as errors from 'jose/errors';
import { messageOf } from '../errors.ts';
import { type Clock, dateOf, isoTime } from '../time.ts';
import type { JwtConfig } from './config-types.ts';
import type { TokenKeys } from './token-key.ts';
import { claimOf, rolesIn, userIn } from './token-text.ts';

export interface TokenUser {
  readonly user: string;
  readonly roles: readonly string[];
  /** From now; undefined: its connection goes on after it. */
  readonly endsInMs: number | undefined;
}

/** `isGuess`: it was not signed by whom we believe. `why` says nothing of what stands in it. */
export interface TokenRefusal {
  readonly why: string;
  readonly isGuess: boolean;
  /** It could not be looked at: trying again later may help. */
  readonly isOurs: boolean;
}

class KeysUnknown extends Error {}

/** Looks at tokens that devices give as their password. Loaded where `mqtt.jwt` is written. */
export class TokenCheck {
  readonly #config: JwtConfig;
  readonly #keys: TokenKeys | undefined;
  readonly #secret: Uint8Array;
  readonly #clock: Clock;
  readonly #isClockSound: () => boolean;

  constructor(
    config: JwtConfig,
    keys: TokenKeys | undefined,
    clock: Clock,
    isClockSound: () => boolean,
  ) {
    this.#config = config;
    this.#secret = Buffer.from(config.secret ?? '');
    this.#keys = keys;
    this.#clock = clock;
    this.#isClockSound = isClockSound;
  }

  async check(token: string): Promise<TokenUser | TokenRefusal> {
    try {
      return await this.#verified(token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) return this.#refusal(error);
    }
    try {
      await this.#keys?.missing();
      return await this.#verified(token);
    } catch (error) {
      return this.#refusal(error);
    }
  }

  async #verified(token: string): Promise<TokenUser | TokenRefusal> {
    const { algorithms, issuer, audience, toleranceMs, userClaim, rolesClaim } = this.#config;
    const nowMs = this.#clock.nowMs();
    const { payload } = await jwtVerify(token, this.#keyOf, {
      algorithms: [...algorithms],
      clockTolerance: toleranceMs / 1000,
      currentDate: dateOf(nowMs),
      requiredClaims: ['exp'],
      ...(issuer === undefined ? {} : { issuer }),
      ...(audience === undefined ? {} : { audience }),
    });
    const user = userIn(claimOf(payload, userClaim));
    if (user === undefined) return refused(`its claim ${userClaim} holds no user name`);
    const roles = rolesClaim === undefined ? [] : rolesIn(claimOf(payload, rolesClaim));
    const leftMs = (payload.exp ?? 0) * 1000 + toleranceMs - nowMs;
    return { user, roles, endsInMs: this.#config.endWithToken ? leftMs : undefined };
  }

  /** Which of the two a token asks for is said by its algorithm, and that is one that has its key. */
  readonly #keyOf: JWTVerifyGetKey = (header, token) => {
    if (header.alg.startsWith('HS')) return this.#secret;
    const key = this.#keys?.key;
    if (key === undefined) throw new KeysUnknown();
    return key(header, token);
  };

  #refusal(error: unknown): TokenRefusal {
    if (error instanceof KeysUnknown) {
      return { why: 'the keys of mqtt.jwt are not known', isGuess: false, isOurs: true };
    }
    if (error instanceof errors.JWTExpired) return refused(`it has expired${this.#byOurClock()}`);
    if (error instanceof errors.JWTClaimValidationFailed) {
      const { claim } = error;
      if (claim === 'nbf') return refused(`it is not good yet${this.#byOurClock()}`);
      if (error.reason === 'missing') return refused(`it has no claim ${claim}`);
      return refused(`its claim ${claim} is not what mqtt.jwt wants`);
    }
    if (error instanceof errors.JOSEAlgNotAllowed) {
      return { ...refused('it is signed in a way that mqtt.jwt does not take'), isGuess: true };
    }
    if (error instanceof errors.JWKSNoMatchingKey) {
      return { ...refused('it is signed with a key that mqtt.jwt does not know'), isGuess: true };
    }
    const isSignature = error instanceof errors.JWSSignatureVerificationFailed;
    // The library's own message names what the token wants, whatever characters that has.
    const isStrange = error instanceof errors.JOSENotSupported;
    const trouble = isStrange ? 'it wants what is not supported here' : messageOf(error);
    const why = isSignature ? 'its signature is wrong' : `it can't be read: ${trouble}`;
    return { why, isGuess: true, isOurs: false };
  }

  #byOurClock(): string {
    const time = `by this machine's clock, ${isoTime(this.#clock.nowMs())}`;
    return this.#isClockSound() ? ` ${time}` : ` ${time}, which is not known to be right`;
  }
}

function refused(why: string): TokenRefusal {
  return { why, isGuess: false, isOurs: false };
}
