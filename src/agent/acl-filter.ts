import { mqttFilterTrouble } from './route.ts';

/**
 * MQTT topic filters of access rules. `%u` is the user name and `%c` the client id; where there is none, or
 * one that would say more than itself (with `/`, `+` or `#` in it), such a filter matches nothing.
 */
export type Levels = readonly string[];

export interface Person {
  /** undefined: nobody was asked for a name. */
  readonly user: string | undefined;
  readonly client: string;
  /** Beside those that `mqtt.roles` gives it: its token names them. */
  readonly roles?: readonly string[] | undefined;
}

/** What a login says of a person. */
export type WhoIs = Pick<Person, 'user' | 'roles'>;

/** Why it is no filter; undefined: it is one. */
export function aclFilterTrouble(pattern: string): string | undefined {
  const unknown = /%(?![uc])[A-Za-z]/u.exec(pattern)?.[0];
  if (unknown !== undefined) {
    return `unknown placeholder ${unknown}; known are %u (user name) and %c (client id)`;
  }
  return mqttFilterTrouble(pattern);
}

export function usesClient(pattern: string): boolean {
  return pattern.includes('%c');
}

/** undefined: it matches nothing. */
export function levelsFor(pattern: string, { user, client }: Person): Levels | undefined {
  let isSound = true;
  const filled = pattern.replaceAll(/%[uc]/gu, (placeholder, at: number) => {
    const name = placeholder === '%u' ? user : client;
    // A name at the beginning must not lead to `$SYS/`.
    if (name === undefined || name === '' || /[/+#]/u.test(name)) isSound = false;
    else if (at === 0 && name.startsWith('$')) isSound = false;
    return name ?? '';
  });
  return isSound ? filled.split('/') : undefined;
}

/**
 * Whether everything that `asked` matches is matched by `filter`, too; a topic without wildcards
 * matches itself alone. [MQTT-4.7.1-2] `a/#` matches `a`. [MQTT-4.7.2-1] A wildcard at the first
 * level never matches what begins with `$`.
 */
export function covers(filter: Levels, asked: Levels): boolean {
  const [first] = filter;
  if (asked[0]?.startsWith('$') === true && (first === '+' || first === '#')) return false;
  for (const [index, level] of filter.entries()) {
    if (level === '#') return true;
    const other = asked[index];
    if (other === undefined || other === '#') return false;
    if (level !== '+' && level !== other) return false;
  }
  return filter.length === asked.length;
}
