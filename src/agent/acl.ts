import { ACCESS_LIMITS } from '../access-limits.ts';
import { covers, type Levels, levelsFor, type Person, usesClient } from './acl-filter.ts';
import type { AclConfig, AclRule } from './config-types.ts';

export type Action = 'publish' | 'subscribe';

/** Where the filter that decided stands: `mqtt.acl[rule].deny.publish[at]`, and without `deny`. */
export interface Ground {
  readonly rule: number;
  readonly isDenied: boolean;
  readonly at: number;
  readonly filter: string;
}

/** `ground` undefined: no rule says anything, so it is refused. */
export interface Decision {
  readonly isAllowed: boolean;
  readonly ground: Ground | undefined;
}

interface FilledFilter {
  readonly levels: Levels;
  readonly ground: Ground;
}

/** What one person may do. What any rule denies is refused, whatever others allow. */
export class Access {
  /** Whose it is; where rules do not ask for a client id, that of another client of the user may stand there. */
  readonly person: Person;
  readonly #denied: Readonly<Record<Action, readonly FilledFilter[]>>;
  readonly #allowed: Readonly<Record<Action, readonly FilledFilter[]>>;
  #lastTopic: string | undefined;
  #mayReceiveLast = false;

  constructor(rules: readonly (readonly [number, AclRule])[], person: Person) {
    this.person = person;
    const filled = (
      pick: (rule: AclRule) => readonly string[],
      isDenied: boolean,
    ): FilledFilter[] =>
      rules.flatMap(([rule, each]) =>
        pick(each).flatMap((filter, at) => {
          const levels = levelsFor(filter, person);
          return levels === undefined ? [] : [{ levels, ground: { rule, isDenied, at, filter } }];
        }),
      );
    this.#denied = {
      publish: filled(({ deny }) => deny.publish, true),
      subscribe: filled(({ deny }) => deny.subscribe, true),
    };
    this.#allowed = {
      publish: filled(({ publish }) => publish, false),
      subscribe: filled(({ subscribe }) => subscribe, false),
    };
  }

  mayPublish(topic: string): boolean {
    return this.decide('publish', topic).isAllowed;
  }

  /** All of the filter must lie within an allowed one; what is denied within it is not delivered. */
  maySubscribe(filter: string): boolean {
    return this.decide('subscribe', filter.replace(/^\$share\/[^/]+\//u, '')).isAllowed;
  }

  /** A message that a subscription matches. */
  mayReceive(topic: string): boolean {
    if (topic !== this.#lastTopic) {
      this.#mayReceiveLast = this.decide('subscribe', topic).isAllowed;
      this.#lastTopic = topic;
    }
    return this.#mayReceiveLast;
  }

  /** `topic`: a filter, too, to subscribe to. */
  decide(action: Action, topic: string): Decision {
    const asked = topic.split('/');
    const matching = ({ levels }: FilledFilter): boolean => covers(levels, asked);
    const denied = this.#denied[action].find(matching);
    if (denied !== undefined) return { isAllowed: false, ground: denied.ground };
    const allowed = this.#allowed[action].find(matching);
    return { isAllowed: allowed !== undefined, ground: allowed?.ground };
  }
}

/** The rules of `mqtt.acl`. */
export class Acl {
  readonly #rules: readonly AclRule[];
  readonly #roles: AclConfig['roles'];
  /** Of those whose rules do not ask for the client id. */
  readonly #byUser = new Map<string | undefined, Access>();

  constructor({ acl, roles }: { readonly acl: readonly AclRule[] } & Pick<AclConfig, 'roles'>) {
    this.#rules = acl;
    this.#roles = roles;
  }

  /** What it may do depends on its client id. */
  asksForClient(person: Person): boolean {
    return this.#rulesOf(person).some(([, rule]) => filtersOf(rule).some(usesClient));
  }

  accessOf(person: Person): Access {
    const { user, roles = [] } = person;
    const known = roles.length === 0 ? this.#byUser.get(user) : undefined;
    if (known !== undefined) return known;
    const rules = this.#rulesOf(person);
    const access = new Access(rules, person);
    if (roles.length > 0) return access;
    if (rules.some(([, rule]) => filtersOf(rule).some(usesClient))) return access;
    if (this.#byUser.size >= ACCESS_LIMITS.aclUsers) this.#byUser.clear();
    this.#byUser.set(user, access);
    return access;
  }

  #rulesOf(person: Person): [number, AclRule][] {
    return [...this.#rules.entries()].filter(([, rule]) => this.#concerns(rule, person));
  }

  /** A rule without users and roles is for everybody, also for who has no name. */
  #concerns({ users, roles }: AclRule, { user, roles: given = [] }: Person): boolean {
    if (users === undefined && roles === undefined) return true;
    if (user === undefined) return false;
    if (users?.includes(user) === true) return true;
    const has = (role: string): boolean =>
      given.includes(role) || this.#roles.get(role)?.includes(user) === true;
    return roles?.some(has) === true;
  }
}

function filtersOf({ publish, subscribe, deny }: AclRule): readonly string[] {
  return [...publish, ...subscribe, ...deny.publish, ...deny.subscribe];
}
