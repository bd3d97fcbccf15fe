import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { IncomingHttpHeaders } from 'node:http';
import { HttpRefusal } from './http-problem.ts';

/**
 * What a request needs.
 * - `nothing`: it tells nothing (the page's files, whether the agent lives).
 * - `read`: figures. `records`: what devices sent. `admin`: to change something.
 */
export type Need = 'nothing' | 'read' | 'records' | 'admin';

/** Where a request came in. */
export interface HttpEntrance {
  /** Only this machine reaches the address. */
  readonly isLocal: boolean;
}

export interface HttpAccessOptions {
  /** For reading; undefined: on this machine everybody may, elsewhere only who has `adminToken`. */
  readonly token: string | undefined;
  /** For commands too. */
  readonly adminToken: string | undefined;
  /** Names, beside addresses and localhost, that browsers may know this agent by. */
  readonly hosts: readonly string[];
  /** Anybody on this machine may read them over MQTT, too: no name, certificate or group, and no rules. */
  readonly recordsAreOpen: () => boolean;
}

/** As much of a request as is asked about. */
export interface AskedRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

type Grant = 'none' | 'read' | 'admin';

/** Headers of those who pass requests on: then it is not this machine that asks, whatever the address. */
const PASSED_ON = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'] as const;

const CHALLENGE = { 'www-authenticate': 'Bearer realm="gatelog"' } as const;
const ASK_ADMIN = 'name a token for commands in the configuration (http.adminToken)';

/**
 * Who may do what over HTTP. Nothing is remembered in the browser (no cookie, no log-in of its own), so
 * another site has nothing to misuse; what is left to it, requests without a token to this machine, is
 * refused by what browsers say of themselves: Host, Origin, Sec-Fetch-Site.
 */
export class HttpAccess {
  readonly #options: HttpAccessOptions;
  readonly #read: Buffer | undefined;
  readonly #admin: Buffer | undefined;
  readonly #hosts: ReadonlySet<string>;

  constructor(options: HttpAccessOptions) {
    this.#options = options;
    this.#read = options.token === undefined ? undefined : digest(options.token);
    this.#admin = options.adminToken === undefined ? undefined : digest(options.adminToken);
    this.#hosts = new Set(options.hosts.map((host) => host.toLowerCase()));
  }

  /** Throws HttpRefusal, whose message says what to do. */
  check(need: Need, request: AskedRequest, entrance: HttpEntrance): void {
    if (need === 'nothing') return;
    refuseCrossSite(request);
    const grant = this.#grantOf(request.headers.authorization);
    if (need === 'admin') return this.#checkAdmin(grant);
    if (grant !== 'none') return;
    this.#checkOpen(need, request, entrance);
  }

  /** Throws for a token that is wrong: who sends one is told, and not taken for nobody. */
  #grantOf(authorization: string | undefined): Grant {
    if (authorization === undefined) return 'none';
    const [, given] = /^Bearer +([\x21-\x7e]+) *$/iu.exec(authorization) ?? [];
    if (given === undefined) {
      throw new HttpRefusal('UNAUTHENTICATED', 'expected Authorization: Bearer TOKEN', CHALLENGE);
    }
    const sum = digest(given);
    // Both are compared whatever the first says: the time tells nothing.
    const isAdmin = this.#admin !== undefined && timingSafeEqual(sum, this.#admin);
    const isRead = this.#read !== undefined && timingSafeEqual(sum, this.#read);
    if (isAdmin) return 'admin';
    if (isRead) return 'read';
    const challenge = {
      'www-authenticate': `${CHALLENGE['www-authenticate']}, error="invalid_token"`,
    };
    throw new HttpRefusal('UNAUTHENTICATED', 'this token is not known here', challenge);
  }

  #checkAdmin(grant: Grant): void {
    if (grant === 'admin') return;
    if (this.#admin === undefined) {
      const text = `commands are not taken over HTTP: ${ASK_ADMIN}, or use gatelog mirror on the machine itself`;
      throw new HttpRefusal('FORBIDDEN', text);
    }
    if (grant === 'read') {
      throw new HttpRefusal(
        'FORBIDDEN',
        'this token is for reading; commands need http.adminToken',
      );
    }
    throw new HttpRefusal('UNAUTHENTICATED', 'commands need the token http.adminToken', CHALLENGE);
  }

  /** May it be had without a token? */
  #checkOpen(need: Need, { headers }: AskedRequest, { isLocal }: HttpEntrance): void {
    if (!isLocal || this.#read !== undefined) {
      throw new HttpRefusal('UNAUTHENTICATED', 'this needs a token (http.token)', CHALLENGE);
    }
    if (PASSED_ON.some((name) => headers[name] !== undefined)) {
      const text = 'the request was passed on by a proxy: set http.token, and have it sent along';
      throw new HttpRefusal('UNAUTHENTICATED', text, CHALLENGE);
    }
    if (!this.#isOurName(headers.host)) {
      const found = JSON.stringify(headers.host ?? '');
      const text = `${found} is no name of this agent: list it in http.hosts if it is (a web page that was made to point here could read everything else)`;
      throw new HttpRefusal('WRONG_HOST', text);
    }
    if (need === 'records' && !this.#options.recordsAreOpen()) {
      const text =
        'who reads what is said here (mqtt.users, mqtt.acl, the listeners of MQTT), so records need a token: http.token';
      throw new HttpRefusal('UNAUTHENTICATED', text, CHALLENGE);
    }
  }

  /** A page can be made to point at any name, and not at an address that is written out. */
  #isOurName(host: string | undefined): boolean {
    const name = URL.parse(`http://${host ?? ''}/`)?.hostname.toLowerCase();
    if (name === undefined || name === '') return false;
    if (isIP(name.replace(/^\[(.*)\]$/u, '$1')) !== 0) return true;
    return name === 'localhost' || name.endsWith('.localhost') || this.#hosts.has(name);
  }
}

/** Browsers say where a request comes from; programs that are none say nothing. */
function refuseCrossSite({ headers, method }: AskedRequest): void {
  const site = headers['sec-fetch-site'];
  const isOther = site !== undefined && site !== 'same-origin' && site !== 'none';
  if (isOther || (method !== 'GET' && isOtherOrigin(headers))) {
    throw new HttpRefusal('CROSS_SITE', 'a page of another site asked for this');
  }
}

function isOtherOrigin({ origin, host }: IncomingHttpHeaders): boolean {
  if (origin === undefined) return false;
  return URL.parse(origin)?.host !== host?.toLowerCase();
}

/** Of one length whatever the token's, as the comparison wants it. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
