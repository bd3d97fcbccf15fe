import type { AccessFileStatus } from '../admin/access-file-status.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { Acl } from './acl.ts';
import { AccessControl } from './broker-access.ts';
import { AclFile } from './broker-acl-file.ts';
import { type BrokerUser, UserTable } from './broker-auth.ts';
import { withAclFile } from './config-acl-file.ts';
import { Logins } from './broker-logins.ts';
import { UsersFile } from './broker-users-file.ts';
import type { AclConfig, AclKind, JwtConfig, ListenConfig } from './config-types.ts';
import type { KeptKeysPlace } from './token-key.ts';
import type { TokenDoor } from './token-door.ts';

export interface AdmissionOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether what the wall clock says of a token's time can be believed. */
  readonly isClockSound: () => boolean;
  readonly listen: readonly ListenConfig[];
  /** Empty: who may connect is said by listen-policy.ts. */
  readonly users: readonly BrokerUser[];
  /** More of them, in a file that is read again when it changes. */
  readonly usersFile?: string | undefined;
  /** Tokens that are taken for passwords. */
  readonly jwt?: JwtConfig | undefined;
  /** Undefined: the keys of those are kept nowhere. */
  readonly keptKeys?: KeptKeysPlace | undefined;
  /** Who may publish and subscribe to what; undefined: everybody to everything. */
  readonly acl?: AclConfig['acl'];
  readonly roles?: AclConfig['roles'];
  readonly aclKind?: AclKind;
  /** More of them, in a file that is read again when it changes. */
  readonly aclFile?: string | undefined;
  readonly ownTopics?: readonly string[];
}

/** What of it can be others' from now on. */
export type ChangedAdmission = Required<
  Pick<AdmissionOptions, 'users' | 'acl' | 'roles' | 'aclKind' | 'ownTopics'>
>;

interface Sources {
  readonly usersFile: UsersFile | undefined;
  readonly aclFile: AclFile | undefined;
  readonly tokens: TokenDoor | undefined;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const NO_SOURCES: Sources = { usersFile: undefined, aclFile: undefined, tokens: undefined };

/** Who may come in, and what they may do: all that says so, and the files in which it stands. */
export class Admission {
  readonly logins: Logins;
  readonly access: AccessControl;
  readonly #users: UserTable;
  #options: AdmissionOptions;
  readonly #sources: Sources;
  #ended: () => void = () => {};
  #judged: () => void = () => {};

  private constructor(options: AdmissionOptions, sources: Sources) {
    const { clock, logger } = options;
    const { tokens, usersFile, aclFile } = sources;
    const users = new UserTable(options.users, usersFile);
    this.#users = users;
    this.logins = new Logins({ users, tokens, clock, logger });
    this.access = new AccessControl({
      acl: aclOf(options, aclFile),
      hint: aclHint(options),
      whoIs: (client) => this.logins.whoIs(client),
      clock,
      logger,
    });
    this.#options = options;
    this.#sources = sources;
  }

  /** Throws CONFIG_INVALID, naming the file that can't be used. */
  static async open(options: AdmissionOptions): Promise<Admission> {
    const { usersFile, aclFile, jwt, clock, logger } = options;
    const sources: Partial<Mutable<Sources>> = {};
    const admission = (): Admission => new Admission(options, { ...NO_SOURCES, ...sources });
    try {
      if (usersFile !== undefined) {
        sources.usersFile = await UsersFile.open(usersFile, clock, logger);
      }
      if (aclFile !== undefined) {
        const anyRole = jwt?.rolesClaim !== undefined;
        sources.aclFile = await AclFile.open(aclFile, anyRole, clock, logger);
      }
      if (jwt !== undefined) {
        const { TokenDoor: Door } = await import('./token-door.ts');
        sources.tokens = await Door.open(jwt, options);
      }
      return admission();
    } catch (error) {
      admission().stop();
      throw error;
    }
  }

  /** `ended`: some who are connected may be welcome no longer; `judged`: they may do other things now. */
  watch(ended: () => void, judged: () => void): void {
    const { usersFile, aclFile } = this.#sources;
    this.#ended = ended;
    this.#judged = judged;
    if (usersFile !== undefined) usersFile.onChange = ended;
    if (aclFile !== undefined) {
      aclFile.onChange = () => {
        this.access.use(aclOf(this.#options, aclFile), aclHint(this.#options));
        judged();
      };
    }
    this.logins.watch(ended);
  }

  /** Takes other users and rules; those who are connected are under them at once. */
  change(changed: ChangedAdmission): void {
    this.#options = { ...this.#options, ...changed };
    this.#users.use(changed.users);
    this.access.use(aclOf(this.#options, this.#sources.aclFile), aclHint(this.#options));
    this.#ended();
    this.#judged();
  }

  /** False also where it may have its name from a certificate or a token, which are not known beforehand. */
  isGone(user: string): boolean {
    const { jwt, listen } = this.#options;
    const mayBeAnybody = jwt !== undefined || listen.some(({ tls }) => tls?.user !== undefined);
    return !mayBeAnybody && this.#users.standing(user) === undefined;
  }

  /** Looks at the files now. Never rejects. */
  async look(): Promise<void> {
    await Promise.all(this.#all().map((source) => source.look()));
  }

  status(): readonly AccessFileStatus[] {
    return this.#all().flatMap((source) => source.status() ?? []);
  }

  stop(): void {
    for (const source of this.#all()) source.stop();
    this.logins.stop();
  }

  #all(): (UsersFile | AclFile | TokenDoor)[] {
    const { usersFile, aclFile, tokens } = this.#sources;
    return [usersFile, aclFile, tokens].filter((source) => source !== undefined);
  }
}

function aclOf(
  { acl, roles = new Map() }: AdmissionOptions,
  file: AclFile | undefined,
): Acl | undefined {
  if (acl === undefined && file === undefined) return undefined;
  return new Acl(withAclFile({ acl: acl ?? [], roles }, file?.content));
}

function aclHint({ aclKind, ownTopics = [] }: AdmissionOptions): string | undefined {
  if (aclKind !== 'own') return undefined;
  return `mqtt.acl is own, so a user has ${ownTopics.join(', ')} and nothing else`;
}
