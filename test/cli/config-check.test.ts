import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkConfig } from '../../src/cli/config-check.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

/** `gatelog config check` of a configuration of several files. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-check-'));
  mkdirSync(path.join(folder, 'conf.d'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): void {
  writeFileSync(path.join(folder, name), text);
}

test('it counts included files, and names the one with a fault, also in files that those name', async () => {
  write('gatelog.yaml', 'include: [conf.d/*.yaml]\n');
  write('conf.d/a.yaml', 'mqtt: {users: [{username: a, password: x}], acl: own}\n');
  write('conf.d/b.yaml', 'topics: {press: {}}\nroutes: [{match: "#", topic: press}]\n');
  const stdout = new PassThrough();
  const context = { ...PLAIN_CONTEXT, stdout, workingFolder: folder };
  await checkConfig(context, 'gatelog.yaml');
  expect(String(stdout.read())).toBe(
    'gatelog.yaml: good (1 topic, 1 route, 0 mirrors, with 2 included files)\n',
  );
  write('conf.d/c.yaml', '\nmqtt:\n  usersFile: users\n');
  write('conf.d/users', 'no entry\n');
  await expect(checkConfig(context, 'gatelog.yaml')).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(/^conf\.d\/c\.yaml:3:14: mqtt\.usersFile: /u),
  });
});
