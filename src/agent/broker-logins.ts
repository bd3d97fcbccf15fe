import type { AedesOptions } from 'aedes';
import { ACCESS_LIMITS } from '../access-limits.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import type { WhoIs } from './acl-filter.ts';
import type { AedesClient } from './broker-aedes.ts';
import type { UserTable, Verdict } from './broker-auth.ts';
import type { DeviceStream } from './broker-door.ts';
import { addressGroup, LoginDelays } from './broker-login-delays.ts';
import { type CertificateUser, userOfCertificate } from './certificate-user.ts';
import { RefusalLine, shortened } from './refusal-line.ts';
import type { TokenRefusal } from './token-check.ts';
import type { TokenDoor } from './token-door.ts';
import { isToken } from './token-text.ts';

/** What the way in says about who comes that way. */
export interface Entrance {
  /** Who gives no user name may connect. */
  readonly anonymous: boolean;
  /** The certificate says who it is; name and password of CONNECT count for nothing. */
  readonly certificateUser: CertificateUser | undefined;
}

export interface LoginsOptions {
  readonly users: UserTable;
  readonly tokens: Pick<TokenDoor, 'check'> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Login {
  readonly user: string | undefined;
  readonly standing: string | undefined;
  readonly roles?: readonly string[];
  /** Monotonic: that much time goes by, whatever happens to the wall clock. */
  readonly endsMs?: number | undefined;
}

/** Why a login is good no longer. */
export const LOGIN_ENDS = {
  revoked: 'its user is gone, or has another password',
  ended: 'its token has ended',
} as const;

type Outcome = Verdict | 'busy' | 'nameless' | TokenRefusal;
type Refusal = Exclude<Outcome, 'accepted'> | 'forbidden' | 'crowded' | 'taken' | 'unkept';
type Done = Parameters<NonNullable<AedesOptions['authenticate']>>[3];

/** Return codes of 3.1.1 (section 3.2.2.3); aedes makes reason codes of MQTT 5 of them. */
const RETURN_CODE = { identifier: 2, unavailable: 3, badCredentials: 4, notAuthorized: 5 } as const;

const TROUBLES: Readonly<Record<Extract<Refusal, string>, string>> = {
  anonymous: 'login refused: no user name was given and anonymous clients are not allowed',
  wrong: 'login refused: unknown user name or wrong password',
  busy: 'login refused unheard: too many of that address wait, after too many failures',
  forbidden: 'login refused: its will goes to a topic where it may not publish',
  crowded: 'login refused: its user has as many connections as mqtt.maxConnectionsPerUser allows',
  taken:
    'login refused: its client id is that of another user, who is connected or has its session there',
  unkept:
    'login refused for now: it wants a session that lasts, and the store that keeps those is not open',
  nameless: 'login refused: the certificate holds no user name where tls.user looks for it',
};

/** Who is let in, and as whom. */
export class Logins {
  readonly #options: LoginsOptions;
  readonly #delays: LoginDelays;
  readonly #refusals: RefusalLine;
  readonly #entrances = new WeakMap<object, Entrance>();
  readonly #logins = new WeakMap<object, Login>();
  #timer: Timer | undefined;
  refused = 0;

  constructor(options: LoginsOptions) {
    this.#options = options;
    this.#delays = new LoginDelays(options.clock);
    this.#refusals = new RefusalLine('login.refused', options);
  }

  enter(stream: object, entrance: Entrance): void {
    this.#entrances.set(stream, entrance);
  }

  whoIs(client: object): WhoIs {
    const { user, roles } = this.#logins.get(client) ?? {};
    return { user, roles };
  }

  /** undefined: it is good. */
  endOf(client: object): keyof typeof LOGIN_ENDS | undefined {
    const { user, standing, endsMs } = this.#logins.get(client) ?? {};
    const { users, clock } = this.#options;
    if (endsMs !== undefined && clock.monotonicMs() >= endsMs) return 'ended';
    if (standing === undefined || user === undefined) return undefined;
    return users.standing(user) === standing ? undefined : 'revoked';
  }

  /** Calls `ended` whenever the tokens of some may have ended. */
  watch(ended: () => void): void {
    const { tokens, clock } = this.#options;
    if (tokens === undefined) return;
    this.#timer = clock.after(ACCESS_LIMITS.tokenEndsMs, () => {
      this.watch(ended);
      ended();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Calls `admit` for who may come in, and tells aedes of everybody else. */
  async check(
    client: AedesClient,
    username: string | undefined,
    password: Uint8Array | undefined,
    done: Done,
    admit: () => Promise<void>,
  ): Promise<void> {
    const address = addressGroup((client.conn as DeviceStream).remoteAddress);
    try {
      const outcome = await this.#outcome(client, username, password, address);
      // Gone meanwhile: what it would hold until it closes (client id, place) would be held for ever.
      if (client.closed) return;
      if (outcome === 'accepted') {
        await admit();
        return;
      }
      this.refuse(client, outcome, done, username);
    } catch (error) {
      this.#options.logger.error({ client: client.id }, `login failed: ${messageOf(error)}`);
      done(withCode('the login could not be looked at', RETURN_CODE.unavailable), false);
    }
  }

  refuse(client: AedesClient, refusal: Refusal, done: Done, username?: string): void {
    this.refused++;
    const why =
      typeof refusal === 'string' ? TROUBLES[refusal] : `login refused: the token: ${refusal.why}`;
    const from = (client.conn as DeviceStream).remoteAddress;
    const user = shortened(username ?? this.whoIs(client).user);
    this.#refusals.say({ client: shortened(client.id), user, from }, why);
    done(withCode(why, codeOf(refusal)), false);
  }

  async #outcome(
    client: AedesClient,
    username: string | undefined,
    password: Uint8Array | undefined,
    address: string,
  ): Promise<Outcome> {
    const { users } = this.#options;
    const stream = client.conn as DeviceStream;
    const { anonymous = false, certificateUser } = this.#entrances.get(stream) ?? {};
    if (certificateUser !== undefined) {
      const user = userOfCertificate(stream, certificateUser);
      if (user === undefined) return 'nameless';
      this.#logins.set(client, { user, standing: undefined });
      return 'accepted';
    }
    if (!(await this.#delays.admit(address))) return 'busy';
    const isBurst = this.#delays.burst(address);
    const isGone = (): boolean => client.closed || isBurst();
    if (this.#options.tokens !== undefined && password !== undefined && isToken(password)) {
      const token = Buffer.from(password).toString('latin1');
      return this.#tokenOutcome(this.#options.tokens, client, token, address);
    }
    // Where tokens are looked at, a name with something else is no name that nobody looks at.
    const isOpen = anonymous && (username === undefined || this.#options.tokens === undefined);
    const verdict = await users.check(username, password, isOpen, isGone, address);
    if (verdict === 'wrong' && isBurst()) return 'busy';
    if (verdict === 'wrong' && !client.closed) this.#delays.failed(address);
    if (verdict !== 'accepted') return verdict;
    const standing = username === undefined ? undefined : users.standing(username);
    // A name that nobody checked is none.
    if (standing !== undefined) this.#logins.set(client, { user: username, standing });
    return 'accepted';
  }

  async #tokenOutcome(
    tokens: NonNullable<LoginsOptions['tokens']>,
    client: AedesClient,
    token: string,
    address: string,
  ): Promise<Outcome> {
    const found = await tokens.check(token);
    if ('why' in found) {
      if (found.isGuess && !client.closed) this.#delays.failed(address);
      return found;
    }
    const { user, roles, endsInMs } = found;
    const endsMs =
      endsInMs === undefined ? undefined : this.#options.clock.monotonicMs() + endsInMs;
    this.#logins.set(client, { user, standing: undefined, roles, endsMs });
    return 'accepted';
  }
}

function codeOf(refusal: Refusal): ReturnCode {
  if (typeof refusal !== 'string') {
    return refusal.isOurs ? RETURN_CODE.unavailable : RETURN_CODE.badCredentials;
  }
  if (refusal === 'taken') return RETURN_CODE.identifier;
  if (refusal === 'busy' || refusal === 'crowded' || refusal === 'unkept')
    return RETURN_CODE.unavailable;
  return refusal === 'wrong' ? RETURN_CODE.badCredentials : RETURN_CODE.notAuthorized;
}

type ReturnCode = (typeof RETURN_CODE)[keyof typeof RETURN_CODE];

function withCode(message: string, returnCode: ReturnCode): Error & { returnCode: number } {
  return Object.assign(new Error(message), { returnCode });
}
