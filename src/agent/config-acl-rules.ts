import { aclFilterTrouble } from './acl-filter.ts';
import type { Say } from './config-pairs.ts';
import type { AclConfig, AclRule, MqttConfig } from './config-types.ts';
import { admitsAnonymous, hasUsers } from './listen-policy.ts';

/** What one option about access alone can't tell. `isWritten`: `mqtt.acl` is. */
export function checkAccess(mqtt: MqttConfig, isWritten: boolean, error: Say, warn: Say): void {
  const { acl, aclKind, aclFile, roles } = mqtt;
  if (acl !== undefined && aclKind === 'rules') {
    checkAclRules({ acl, roles }, ['mqtt'], mqtt.jwt?.rolesClaim !== undefined, error);
  } else if (roles.size > 0 && aclFile === undefined) {
    warn(['mqtt', 'roles'], 'without rules in mqtt.acl roles are for nothing');
  }
  if (aclKind === 'open' && aclFile !== undefined) {
    error(['mqtt', 'acl'], 'expected own or rules beside mqtt.aclFile, found open');
  }
  checkOwnTopics(mqtt, error, warn);
  if (mqtt.aclKind !== 'own') return;
  if (!isWritten) {
    warn(
      ['mqtt', 'acl'],
      `is not written: each user may only publish and subscribe to ${mqtt.ownTopics.join(', ')}. Write acl: own if that is meant, open if everybody may do everything, or a list of rules`,
    );
  }
  const withUsers = hasUsers(mqtt);
  for (const [index, listen] of mqtt.listen.entries()) {
    if (listen.tls?.user !== undefined || !admitsAnonymous(listen, withUsers)) continue;
    warn(
      ['mqtt', 'listen', index],
      'takes who gives no user name, and with mqtt.acl: own they have no topics',
    );
  }
}

function checkOwnTopics({ aclKind, ownTopics }: MqttConfig, error: Say, warn: Say): void {
  for (const [place, each] of ownTopics.entries()) {
    const at = ['mqtt', 'ownTopics', place];
    const trouble = aclFilterTrouble(each);
    if (trouble !== undefined) error(at, trouble);
    else if (!/%[uc]/u.test(each)) {
      error(at, `expected %u (user name) or %c (client id) in it, found ${JSON.stringify(each)}`);
    } else if (aclKind === 'own' && !each.includes('%u')) {
      warn(at, 'a client id is its client’s to choose; with %u the topics are its user’s');
    }
  }
}

/** `above`: where `acl` and `roles` stand. `anyRole`: tokens may name roles that stand nowhere. */
export function checkAclRules(
  { acl, roles }: { readonly acl: readonly AclRule[] } & Pick<AclConfig, 'roles'>,
  above: readonly string[],
  anyRole: boolean,
  error: Say,
): void {
  for (const [index, rule] of acl.entries()) {
    const at = [...above, 'acl', index];
    for (const [name, list] of [
      ['users', rule.users],
      ['roles', rule.roles],
    ] as const) {
      if (list?.length === 0) error([...at, name], 'is empty; leave it out for everybody');
    }
    for (const [place, role] of (rule.roles ?? []).entries()) {
      if (!roles.has(role) && !anyRole)
        error(
          [...at, 'roles', place],
          `there is no role ${role} in ${[...above, 'roles'].join('.')}`,
        );
    }
    const lists = [
      [['publish'], rule.publish],
      [['subscribe'], rule.subscribe],
      [['deny', 'publish'], rule.deny.publish],
      [['deny', 'subscribe'], rule.deny.subscribe],
    ] as const;
    if (lists.every(([, list]) => list.length === 0)) {
      error(at, 'allows and denies nothing; name filters at publish, subscribe or deny');
    }
    for (const [below, list] of lists) {
      for (const [place, each] of list.entries()) {
        const trouble = aclFilterTrouble(each);
        if (trouble !== undefined) error([...at, ...below, place], trouble);
      }
    }
  }
}
