import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Action } from '../../src/agent/acl.ts';
import { checkAccess } from '../../src/cli/acl.ts';
import type { CliContext } from '../../src/cli/context.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

let folder: string;
let context: CliContext;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-acl-'));
  context = { ...PLAIN_CONTEXT, stdout: new PassThrough(), workingFolder: folder };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const RULES = `mqtt:
  roles: {ops: [anna]}
  acl:
    - publish: ["news", "plant/%u/#"]
      subscribe: ["id/%c"]
    - roles: [ops]
      subscribe: ["#"]
      deny:
        subscribe: ["secret/#"]
`;

async function ask(
  user: string,
  action: Action,
  topic: string,
  client?: string,
  roles: readonly string[] = [],
): Promise<string> {
  await checkAccess(context, { config: 'g.yaml', user, action, topic, client, roles });
  return String((context.stdout as PassThrough).read());
}

test.each([
  [
    'press',
    'publish',
    'plant/press/a',
    'c',
    'yes: g.yaml:4:25: mqtt.acl[0].publish[1]: plant/%u/#',
    0,
  ],
  ['press', 'publish', 'plant/pump/a', 'c', 'no: no rule of mqtt.acl allows it', 1],
  ['press', 'subscribe', 'id/c', 'c', 'yes: g.yaml:5:19: mqtt.acl[0].subscribe[0]: id/%c', 0],
  [
    'press',
    'subscribe',
    'id/c',
    undefined,
    'no: no rule of mqtt.acl allows it\nwithout --client ID nothing matches a rule with %c',
    1,
  ],
  ['anna', 'subscribe', '$share/g/a/+', 'c', 'yes: g.yaml:7:19: mqtt.acl[1].subscribe[0]: #', 0],
  [
    'anna',
    'subscribe',
    'secret/+',
    'c',
    'no: g.yaml:9:21: mqtt.acl[1].deny.subscribe[0]: secret/#',
    1,
  ],
] as const)('%s %s %s, client %s', async (user, action, topic, client, said, code) => {
  writeFileSync(path.join(folder, 'g.yaml'), RULES);
  expect(await ask(user, action, topic, client)).toBe(`${said}\n`);
  expect(context.exitCode).toBe(code);
});

test('without rules everything is allowed, and one does not publish to a filter', async () => {
  writeFileSync(path.join(folder, 'g.yaml'), 'mqtt: {}\n');
  expect(await ask('a', 'publish', 'b')).toBe('yes: mqtt.acl is open, so everything is allowed\n');
  await expect(ask('a', 'publish', 'b/+')).rejects.toThrow('b/+ is a filter');
});

test('rules of a file are asked where they stand', async () => {
  writeFileSync(path.join(folder, 'g.yaml'), 'mqtt: {aclFile: rules.yaml}\n');
  writeFileSync(path.join(folder, 'rules.yaml'), 'acl:\n  - publish: ["plant/%u/#"]\n');
  const place = path.join(folder, 'rules.yaml:2:15');
  expect(await ask('a', 'publish', 'plant/a/b')).toBe(
    `yes: ${place}: acl[0].publish[0]: plant/%u/#\n`,
  );
  expect(await ask('a', 'publish', 'plant/b')).toBe('no: no rule of mqtt.acl allows it\n');
});

test('rules of both places count', async () => {
  writeFileSync(path.join(folder, 'g.yaml'), 'mqtt:\n  aclFile: r.yaml\n  acl: own\n');
  writeFileSync(path.join(folder, 'r.yaml'), 'acl:\n  - publish: ["plant/%u/#"]\n');
  expect(await ask('a', 'publish', 'plant/a/b')).toContain('r.yaml:2:15: acl[0].publish[0]: plant');
  expect(await ask('a', 'publish', 'a/b')).toBe('yes: mqtt.acl: own allows %u/#\n');
});

test('own topics are said', async () => {
  writeFileSync(path.join(folder, 'g.yaml'), 'mqtt: {acl: own}\n');
  expect(await ask('a', 'publish', 'a/b')).toBe('yes: mqtt.acl: own allows %u/#\n');
  expect(await ask('a', 'publish', 'b/b')).toBe('no: mqtt.acl: own allows only %u/#\n');
});

test('roles of a token count where they are named', async () => {
  writeFileSync(path.join(folder, 'g.yaml'), RULES);
  expect(await ask('carl', 'subscribe', 'a', 'c')).toContain('no: no rule');
  const yes = 'yes: g.yaml:7:19: mqtt.acl[1].subscribe[0]: #\n';
  expect(await ask('carl', 'subscribe', 'a', 'c', ['ops'])).toBe(yes);
});

test('a user that there is not is said to be none, and who else may name it', async () => {
  const acl = '  acl: [{publish: ["#"]}]\n';
  writeFileSync(path.join(folder, 'g.yaml'), `mqtt:\n  usersFile: users\n${acl}`);
  const entry = '$7$9$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA';
  writeFileSync(path.join(folder, 'users'), `a:${entry}\n`);
  const file = path.join(folder, 'users');
  expect(await ask('a', 'publish', 'b')).toMatch(/^yes: [^\n]+\n$/u);
  expect(await ask('b', 'publish', 'b')).toContain(`but there is no user "b" in ${file}\n`);
  const jwt = `  jwt: {secret: ${'x'.repeat(32)}}\n`;
  writeFileSync(path.join(folder, 'g.yaml'), `mqtt:\n  usersFile: users\n${jwt}${acl}`);
  expect(await ask('b', 'publish', 'b')).toContain('; so only a token can name it\n');
});

test.each(['shared/+#', 'a#', '', '$share/g', '$share/g/a#'])('%j is no filter', async (filter) => {
  writeFileSync(path.join(folder, 'g.yaml'), RULES);
  await expect(ask('a', 'subscribe', filter)).rejects.toThrow(`${filter} is no filter: `);
});
