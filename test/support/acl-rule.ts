import type { AclRule } from '../../src/agent/config-types.ts';

/** A rule as a configuration gives it that says nothing else. */
export function ruleOf(rule: Partial<AclRule>): AclRule {
  return {
    users: undefined,
    roles: undefined,
    publish: [],
    subscribe: [],
    deny: { publish: [], subscribe: [] },
    ...rule,
  };
}
