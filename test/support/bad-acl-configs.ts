import type { BadConfig } from './bad-configs.ts';

/** The same for who may do what. */
export const BAD_ACL_CONFIGS: readonly BadConfig[] = [
  {
    name: 'rules with filters that are none',
    text: 'mqtt:\n  acl:\n    - publish: ["a/#/b", "a+"]\n    - deny: {subscribe: ["%x/a"]}\n',
    lines: [
      'bad.yaml:3:17: mqtt.acl[0].publish[0]: `#` must be a whole level, and the last one, as in `plant/#`',
      'bad.yaml:3:26: mqtt.acl[0].publish[1]: `+` must be a whole level, as in `plant/+/temperature`',
      'bad.yaml:4:26: mqtt.acl[1].deny.subscribe[0]: unknown placeholder %x; known are %u (user name) and %c (client id)',
    ],
  },
  {
    name: 'rules for nobody, for a role that is not there, and without a word',
    text: 'mqtt:\n  roles: {ops: [a]}\n  acl:\n    - {users: [], publish: [a]}\n    - {roles: [opps], publish: [a]}\n    - {users: [a]}\n',
    lines: [
      'bad.yaml:4:15: mqtt.acl[0].users: is empty; leave it out for everybody',
      'bad.yaml:5:16: mqtt.acl[1].roles[0]: there is no role opps in mqtt.roles',
      'bad.yaml:6:7: mqtt.acl[2]: allows and denies nothing; name filters at publish, subscribe or deny',
    ],
  },
  {
    name: 'rules in another form',
    text: 'mqtt:\n  acl:\n    - {user: a, publish: a}\n  roles: {ops: a}\n',
    lines: [
      'bad.yaml:3:8: mqtt.acl[0].user: unknown option (did you mean "users"?)',
      'bad.yaml:3:26: mqtt.acl[0].publish: expected a list, found "a"',
      'bad.yaml:4:16: mqtt.roles.ops: expected a list, found "a"',
    ],
  },
  {
    name: 'a word that is none for acl',
    text: 'mqtt:\n  acl: closed\n',
    lines: ['bad.yaml:2:8: mqtt.acl: expected own, open or a list of rules, found "closed"'],
  },
  {
    name: 'own topics of nobody, and with a wildcard inside',
    text: 'mqtt:\n  acl: own\n  ownTopics: [plant/#, "%u/#/a", "%x/#"]\n',
    lines: [
      'bad.yaml:3:15: mqtt.ownTopics[0]: expected %u (user name) or %c (client id) in it, found "plant/#"',
      'bad.yaml:3:24: mqtt.ownTopics[1]: `#` must be a whole level, and the last one, as in `plant/#`',
      'bad.yaml:3:34: mqtt.ownTopics[2]: unknown placeholder %x; known are %u (user name) and %c (client id)',
    ],
  },
  {
    name: 'everything for everybody, and rules beside it',
    text: 'mqtt:\n  acl: open\n  aclFile: rules\n',
    lines: ['bad.yaml:2:8: mqtt.acl: expected own or rules beside mqtt.aclFile, found open'],
  },
  {
    name: 'secrets of tokens where paths or options should stand',
    text: 'mqtt:\n  jwt: hush\n',
    lines: ['bad.yaml:2:8: mqtt.jwt: expected a map of options, found a text that is not shown'],
  },
  {
    name: 'keys of tokens, and a secret that is too short',
    text: 'mqtt:\n  jwt:\n    keys: "-----BEGIN PRIVATE KEY-----hush"\n    secret: hush\n',
    lines: [
      'bad.yaml:3:11: mqtt.jwt.keys: expected the path of a public key in PEM form or of a JWKS, or the https URL of one (http on loopback), without ${file:}, found a text that is not shown',
      'bad.yaml:4:13: mqtt.jwt.secret: expected a secret of at least 32 bytes, found a text that is not shown',
    ],
  },
];
