import { z } from 'zod';
import { leaf, listOf, orAbsent, section, text } from './config-leaves.ts';
import type { AclConfig, AclRule, MqttConfig } from './config-types.ts';

/** The part of the schema that says who may publish and subscribe to what. */
const filter = text('an MQTT topic filter, such as "devices/%u/#"');
const filters = orAbsent(z.array(filter).default([]));
const names = (what: string): z.ZodType<string[] | undefined> =>
  orAbsent(z.array(text(what)).optional());

const ruleSection: z.ZodType<AclRule> = section({
  users: names('a user name'),
  roles: names('the name of a role in mqtt.roles'),
  publish: filters,
  subscribe: filters,
  deny: section({ publish: filters, subscribe: filters }),
}).transform(({ users, roles, ...rest }) => ({ users, roles, ...rest }));

const rules: z.ZodType<AclRule[]> = z.array(ruleSection);

/** Of a file of rules; without a word about it there are none. */
export const ruleListSection: z.ZodType<AclRule[]> = orAbsent(rules.default([]));

type AclSection = 'own' | 'open' | AclRule[];

export const aclSection: z.ZodType<AclSection | undefined> = orAbsent(
  z
    .union([
      leaf('own, open or a list of rules', (value) =>
        value === 'own' || value === 'open' ? value : undefined,
      ),
      rules,
    ])
    .optional(),
);

export const ownTopicsSection: z.ZodType<string[]> = listOf(filter, '["devices/%u/#"]').default([
  '%u/#',
]);

interface AclParts {
  readonly acl: AclSection | undefined;
  readonly aclFile?: string | undefined;
  readonly ownTopics: readonly string[];
  /** Clients have names: those who share the broker are told apart. */
  readonly hasNames: boolean;
  readonly central: boolean;
}

/**
 * Where nothing is written, a name is for one's own topics: a stolen password of one device is not the whole
 * site. A centre's clients are gateways, which carry the topics of all their devices.
 */
export function resolveAcl({
  acl,
  aclFile,
  ownTopics,
  hasNames,
  central,
}: AclParts): Pick<MqttConfig, 'acl' | 'aclKind'> {
  if (acl === undefined && aclFile !== undefined) return { acl: [], aclKind: 'rules' };
  const written = acl ?? (hasNames && !central ? 'own' : 'open');
  if (written === 'open') return { acl: undefined, aclKind: 'open' };
  if (written !== 'own') return { acl: written, aclKind: 'rules' };
  const deny = { publish: [], subscribe: [] };
  const rule = { users: undefined, roles: undefined, publish: ownTopics, subscribe: ownTopics };
  return { acl: [{ ...rule, deny }], aclKind: 'own' };
}

/** By role; a Map, as a role may have any name. */
export const rolesSection: z.ZodType<AclConfig['roles']> = orAbsent(
  z.record(z.string(), z.array(text('a user name'))).default({}),
).transform((roles) => new Map(Object.entries(roles)));
