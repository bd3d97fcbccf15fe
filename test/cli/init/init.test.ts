import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CliContext } from '../../../src/cli/context.ts';
import { initialise, type InitOptions } from '../../../src/cli/init/init.ts';
import { PLAIN_CONTEXT } from '../../support/cli-context.ts';

/** `gatelog init` as a person meets it: questions, trial, files. */
const OPTIONS: InitOptions = {
  config: 'conf/gatelog.yaml',
  yes: true,
  force: false,
  test: false,
  passwordStdin: false,
};

let folder: string;
let output: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-init-'));
  output = '';
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function context(): CliContext {
  const stdout = new PassThrough();
  stdout.on('data', (chunk: Buffer) => {
    output += String(chunk);
  });
  return { ...PLAIN_CONTEXT, stdout, workingFolder: folder };
}

const read = (name: string): string => readFileSync(path.join(folder, 'conf', name), 'utf8');
const modeOf = (name: string): number => statSync(path.join(folder, 'conf', name)).mode & 0o777;

/** A terminal on which somebody answers each question in turn. */
function person(answers: readonly (readonly [question: RegExp, answer: string])[]): PassThrough {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} });
  const left = [...answers];
  const timer = setInterval(() => {
    const [next] = left;
    if (next === undefined) clearInterval(timer);
    else if (next[0].test(output)) {
      left.shift();
      output = '';
      terminal.write(`${next[1]}\r`);
    }
  }, 1);
  return terminal;
}

test('asked: the answers are in the files, passwords are not shown and not readable for others', async () => {
  const shown: string[] = [];
  const asked = context();
  asked.stdout.on('data', (chunk: Buffer) => shown.push(String(chunk)));
  const input = person([
    [/Id of this gateway/u, 'gw 1'],
    [/expected a name/u, 'gw-1'],
    [/Folder/u, '/srv/log'],
    [/Who publishes/u, ''],
    [/Name that a device/u, ''],
    [/Is that meant/u, 'no'],
    [/Name that a device/u, 'press-1'],
    [/Password of press-1/u, 'hush-1'],
    [/Another name/u, 'press-1'],
    [/not given yet/u, 'press-2'],
    [/Password of press-2/u, ''],
    [/Another name/u, ''],
    [/own topics/u, 'OPEN'],
    [/Kafka, as/u, 'kafka-1'],
    [/expected an address/u, 'kafka-1:9092'],
    [/TLS/u, 'no'],
    [/User there/u, 'gw'],
    [/mechanism/u, 'scram-sha-256'],
    [/Password of gw/u, 'hush-2'],
  ]);
  await initialise(asked, { ...OPTIONS, yes: false }, input);
  const text = read('gatelog.yaml');
  expect(text).toContain('gateway: "gw-1"\n');
  expect(text).toContain('data: "/srv/log"\n');
  expect(text).toContain('- "mqtt://0.0.0.0:1883"\n');
  expect(text).toContain('acl: open\n');
  expect(text).toContain('mechanism: SCRAM-SHA-256\n');
  expect(read('secrets/kafka')).toBe('hush-2\n');
  expect(read('users')).toMatch(/^press-1:\$scrypt\$.*\npress-2:\$scrypt\$.*\n$/u);
  expect([modeOf('users'), modeOf('secrets/kafka'), modeOf('secrets')]).toEqual([
    0o600, 0o600, 0o700,
  ]);
  const said = shown.join('');
  expect(said).not.toMatch(/hush/u);
  expect(said).toMatch(/password of press-2: [0-9a-z]{24} /u);
  expect(`${text}${read('users')}`).not.toMatch(/hush/u);
});

test('asked: a central gatelog, where there is no Kafka', async () => {
  const input = person([
    [/Kafka, as/u, ''],
    [/Central gatelog or MQTT broker/u, 'centre'],
    [/expected an address/u, 'mqtts://centre'],
    [/PEM file of its CA/u, ''],
    [/User there/u, 'gw'],
    [/Password of gw/u, 'hush-1'],
  ]);
  const flags = { gateway: 'gw-1', data: '/srv/log', listen: ['mqtt://127.0.0.1:1'], user: [] };
  await initialise(context(), { ...OPTIONS, ...flags, acl: 'open', yes: false }, input);
  expect(read('gatelog.yaml')).toMatch(
    / {4}mqtt:\n {6}url: "mqtts:\/\/centre"\n {6}username: "gw"\n {6}password: "\$\{file:secrets\/mqtt\}"\n/u,
  );
  expect(read('secrets/mqtt')).toBe('hush-1\n');
  expect(modeOf('secrets/mqtt')).toBe(0o600);
});

test('whoever ends it at a question has written nothing', async () => {
  const input = person([[/Id of this gateway/u, '\u0003']]);
  const asked = initialise(context(), { ...OPTIONS, yes: false }, input);
  await expect(asked).rejects.toMatchObject({ code: 'USAGE', message: 'nothing was written' });
  expect(() => read('gatelog.yaml')).toThrow(/ENOENT/u);
});

test('a file that says something is not replaced unasked; one with defaults alone is', async () => {
  mkdirSync(path.join(folder, 'conf'));
  const file = path.join(folder, 'conf/gatelog.yaml');
  writeFileSync(file, 'data: /var/lib/gatelog\n');
  await initialise(context(), OPTIONS);
  expect(read('gatelog.yaml.old')).toBe('data: /var/lib/gatelog\n');

  writeFileSync(file, 'log: {level: warn}\n');
  const kept = initialise(context(), OPTIONS);
  await expect(kept).rejects.toMatchObject({ code: 'USAGE', message: /is there already/u });
  expect(read('gatelog.yaml')).toBe('log: {level: warn}\n');
  await initialise(context(), { ...OPTIONS, force: true });
  expect(read('gatelog.yaml.old')).toBe('log: {level: warn}\n');
});

test('passwords of another configuration beside it are not replaced unasked', async () => {
  const flags = { user: ['press-1'], kafka: 'k:1', kafkaUser: 'gw', passwordStdin: true };
  const init = (passwords: string, more: Partial<InitOptions>): Promise<void> => {
    const input = new PassThrough();
    input.end(passwords);
    return initialise(context(), { ...OPTIONS, ...flags, ...more }, input);
  };
  await init('one\ntwo\n', {});
  const users = read('users');
  const second = { config: 'conf/second.yaml' };
  await expect(init('three\nfour\n', { ...second, user: ['press-2'] })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(/secrets\/kafka holds another password; nothing was changed/u),
  });
  await expect(init('three\ntwo\n', second)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(/users has press-1 already; nothing was changed/u),
  });
  expect([read('secrets/kafka'), read('users')]).toEqual(['two\n', users]);
  expect(() => read('second.yaml')).toThrow(/ENOENT/u);
  await init('three\nfour\n', { ...second, force: true });
  expect([read('secrets/kafka'), read('secrets/kafka.old')]).toEqual(['four\n', 'two\n']);
  expect([read('users.old'), modeOf('users.old'), modeOf('secrets/kafka.old')]).toEqual([
    users,
    0o600,
    0o600,
  ]);
});

test('what a person wrote stays, however often it is written anew', async () => {
  mkdirSync(path.join(folder, 'conf'));
  writeFileSync(path.join(folder, 'conf/gatelog.yaml'), '# mine\nlog: {level: warn}\n');
  await initialise(context(), { ...OPTIONS, force: true });
  const made = read('gatelog.yaml');
  await initialise(context(), { ...OPTIONS, force: true, gateway: 'gw-2' });
  expect(read('gatelog.yaml.old')).toBe(made);
  expect(read('gatelog.yaml.old.1')).toMatch(/^# mine/u);
});

test('without a terminal and without --yes it says how', async () => {
  const asked = initialise(context(), { ...OPTIONS, yes: false }, new PassThrough());
  await expect(asked).rejects.toMatchObject({ code: 'USAGE', message: /flags and --yes/u });
});

test('passwords from stdin: a line for each user, then that of Kafka', async () => {
  const input = new PassThrough();
  input.end('one\ntwo\nthree\n');
  const flags = { user: ['a', 'b'], kafka: 'k:1', kafkaUser: 'gw', passwordStdin: true };
  await initialise(context(), { ...OPTIONS, ...flags }, input);
  expect(read('secrets/kafka')).toBe('three\n');
  const short = new PassThrough();
  short.end('one\n');
  const asked = initialise(context(), { ...OPTIONS, ...flags, force: true }, short);
  await expect(asked).rejects.toMatchObject({ message: /the password of b is missing/u });
});

function listening(): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve({ server, port: typeof address === 'object' ? (address?.port ?? 0) : 0 });
    });
  });
}

test('what does not answer is told step by step, and nothing is written unless a person says so', async () => {
  const { server, port } = await listening();
  const listen = [`mqtt://127.0.0.1:${port}`];
  const trying = { ...OPTIONS, test: true, listen, kafka: `127.0.0.1:${port}` };
  const tried = initialise(context(), trying);
  await expect(tried).rejects.toMatchObject({
    code: 'UPSTREAM_UNREACHABLE',
    message: '2 steps failed, and nothing was written; mend it, or write without trying: --no-test',
  });
  expect(output).toMatch(/FAIL {2}listen .*something listens there already/u);
  expect(output).toMatch(/ok {4}connection .*takes connections/u);
  expect(output).toMatch(/FAIL {2}Kafka /u);
  expect(() => read('gatelog.yaml')).toThrow(/ENOENT/u);
  const input = person([
    [/Folder/u, ''],
    [/Name that a device/u, ''],
    [/all the same/u, 'yes'],
  ]);
  await initialise(context(), { ...trying, yes: false, gateway: 'gw-1' }, input);
  expect(read('gatelog.yaml')).toContain(`brokers: ["127.0.0.1:${port}"]`);
  server.close();
});
