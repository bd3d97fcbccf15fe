import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type LoadedConfig, parseConfig } from '../../src/agent/config.ts';
import {
  type ServiceReader,
  serviceReader,
  unreadableFiles,
} from '../../src/cli/service-reader.ts';

/** Root looks at a configuration for the user that runs the agent, and reads what that user does not. */
const NOBODY: ServiceReader = { name: 'gatelog', uid: 64_001, gid: 64_001, seesHomes: true };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-reader-'));
  chmodSync(folder, 0o755);
  mkdirSync(path.join(folder, 'credentials'), { mode: 0o700 });
  write('credentials/admin', TOKEN, 0o600);
  write('token', TOKEN, 0o600);
  write('users', '', 0o600);
  write('ca.pem', '-----BEGIN CERTIFICATE-----\n', 0o644);
  write('gatelog.yaml', TEXT, 0o644);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Whatever the umask is. */
function write(name: string, text: string, mode: number): void {
  writeFileSync(path.join(folder, name), text);
  chmodSync(path.join(folder, name), mode);
}

const TOKEN = 'x'.repeat(32);
const TEXT = `
mqtt: {usersFile: users}
http: {token: "\${file:token}", adminToken: "\${credential:admin}"}
mirrors: {central: {kafka: {brokers: ["kafka-1:9093"], tls: {ca: "\${file:ca.pem}"}}}}
`;

function load(): LoadedConfig {
  const file = path.join(folder, 'gatelog.yaml');
  return parseConfig(TEXT, file, { env: {}, workingFolder: folder });
}

test('what that user can not read is named, with what to do; what systemd hands on is not', async () => {
  expect(await unreadableFiles(load(), NOBODY)).toEqual([
    `${folder}/token: user gatelog, who runs the agent, can't read it: chown gatelog ${folder}/token`,
    `${folder}/users: user gatelog, who runs the agent, can't read it: chown gatelog ${folder}/users`,
  ]);
  const { uid, gid } = statSync(folder);
  expect(await unreadableFiles(load(), { ...NOBODY, uid, gid })).toEqual([]);
});

test('a folder that it may not enter, and a home, which the service does not see', async () => {
  chmodSync(folder, 0o700);
  const [first] = await unreadableFiles(load(), NOBODY);
  expect(first).toContain(`may not enter ${folder}: copy it`);
  const loaded = { ...load(), files: [], references: ['/home/pi/ca.pem'] };
  const found = await unreadableFiles(loaded, { ...NOBODY, seesHomes: false });
  expect(found[0]).toMatch(/sees no home folders: copy it \(install .* \/etc\/gatelog\/\)/u);
});

test('who is not root reads for itself', async () => {
  expect(await serviceReader(path.join(folder, 'gatelog.yaml'), folder, 1000)).toBeUndefined();
  expect(await serviceReader('gatelog.yaml', path.join(folder, 'not-there'), 0)).toBeUndefined();
});
