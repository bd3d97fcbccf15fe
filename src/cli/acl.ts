import { Acl, type Action, type Ground } from '../agent/acl.ts';
import { readAclFile } from '../agent/broker-acl-file.ts';
import { parseAclFile, withAclFile } from '../agent/config-acl-file.ts';
import { usersIn } from '../agent/users-file-change.ts';
import { filterForAedes, matchedFilter, NO_FILTER } from '../agent/broker-share-filter.ts';
import { mqttFilterTrouble } from '../agent/route.ts';
import { loadConfig } from '../agent/config.ts';
import type { MqttConfig } from '../agent/config-types.ts';
import { formatPlace, GatelogError } from '../errors.ts';
import { type CliContext, paint, printLine } from './context.ts';

export interface AclOptions {
  readonly config: string;
  readonly user: string;
  readonly action: Action;
  readonly topic: string;
  readonly client: string | undefined;
  /** As a token would name them. */
  readonly roles?: readonly string[];
}

const REFUSED = 1;

/** `gatelog acl check`: yes or no, and the filter that says so. Exit code 1: no. */
export async function checkAccess(context: CliContext, options: AclOptions): Promise<void> {
  const { user, action, topic, client = '', roles: given = [] } = options;
  checkTopic(action, topic);
  const { env, workingFolder } = context;
  const { config, placeOf } = loadConfig(options.config, { env, workingFolder });
  const { acl, aclFile, aclKind, roles, jwt } = config.mqtt;
  if (acl === undefined) {
    say(context, true, 'mqtt.acl is open, so everything is allowed');
    return;
  }
  const file =
    aclFile === undefined
      ? undefined
      : parseAclFile(await readAclFile(aclFile), aclFile, jwt?.rolesClaim !== undefined);
  const rules = new Acl(withAclFile({ acl, roles }, file?.content));
  const person = { user, client, roles: given };
  const asked = action === 'subscribe' ? matchedFilter(filterForAedes(topic)) : topic;
  const { isAllowed, ground } = rules.accessOf(person).decide(action, asked);
  let why = 'no rule of mqtt.acl allows it';
  if (ground !== undefined) {
    const inFile = ground.rule - acl.length;
    const place =
      file === undefined || inFile < 0
        ? placeOf(['mqtt', ...pathOf(action, ground)])
        : file.placeOf(pathOf(action, { ...ground, rule: inFile }));
    why = `${formatPlace(place)}: ${ground.filter}`;
  }
  if (aclKind === 'own') why = ownWhy(config.mqtt, ground, why);
  say(context, isAllowed, why);
  if (options.client === undefined && rules.asksForClient(person)) {
    printLine(context, 'without --client ID nothing matches a rule with %c');
  }
  for (const note of await notesOn(config.mqtt, user)) printLine(context, note);
  if (action === 'publish' && topic.startsWith('$SYS/')) {
    printLine(context, 'but $SYS/ is the broker’s own: nobody publishes there');
    context.exitCode = REFUSED;
  }
}

function checkTopic(action: Action, topic: string): void {
  const refuse = (why: string): never => {
    throw new GatelogError('USAGE', why);
  };
  if (action === 'publish') {
    if (/[+#]/u.test(topic)) {
      refuse(`${topic} is a filter; one publishes to a topic without + and #`);
    }
    return;
  }
  if (topic !== '' && filterForAedes(topic) !== NO_FILTER) return;
  const why = mqttFilterTrouble(topic.replace(/^\$share\/[^/]*\//u, ''));
  refuse(`${topic} is no filter: ${why ?? 'expected $share/NAME/FILTER'}`);
}

/** The rules do not say whether there is such a user. */
async function notesOn(
  { users, usersFile, jwt, tls, listen }: MqttConfig,
  user: string,
): Promise<string[]> {
  const inFile = usersFile === undefined ? undefined : (await usersIn(usersFile)).users;
  if (users.length === 0 && inFile === undefined) return [];
  if (users.some(({ username }) => username === user) || inFile?.has(user) === true) return [];
  const places = [
    ...(users.length === 0 ? [] : ['mqtt.users']),
    ...(usersFile === undefined ? [] : [usersFile]),
  ];
  const byCertificate = [tls, ...listen.map((one) => one.tls)].some(
    (one) => one?.user !== undefined,
  );
  const others = [
    ...(jwt === undefined ? [] : ['a token']),
    ...(byCertificate ? ['a certificate'] : []),
  ].join(' or ');
  const unless = others === '' ? '' : `; so only ${others} can name it`;
  return [`but there is no user ${JSON.stringify(user)} in ${places.join(' and ')}${unless}`];
}

function say(context: CliContext, isAllowed: boolean, why: string): void {
  const verdict = isAllowed ? paint(context, 'green', 'yes') : paint(context, 'red', 'no');
  printLine(context, `${verdict}: ${why}`);
  if (!isAllowed) context.exitCode = REFUSED;
}

function ownWhy({ ownTopics }: MqttConfig, ground: Ground | undefined, why: string): string {
  if (ground === undefined) return `mqtt.acl: own allows only ${ownTopics.join(', ')}`;
  return ground.rule === 0 ? `mqtt.acl: own allows ${ground.filter}` : why;
}

function pathOf(action: Action, { rule, isDenied, at }: Ground): (string | number)[] {
  return ['acl', rule, ...(isDenied ? ['deny'] : []), action, at];
}
