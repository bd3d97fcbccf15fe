import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { changeUsers, usersIn } from '../../src/agent/users-file-change.ts';
import type { CliContext } from '../../src/cli/context.ts';
import { askPassword, type PasswordSource } from '../../src/cli/password.ts';
import { listUsers, removeUser, setPassword } from '../../src/cli/user.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

let folder: string;
let file: string;
let context: CliContext;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-user-'));
  file = path.join(folder, 'users');
  context = { ...PLAIN_CONTEXT, stdout: new PassThrough(), stderr: new PassThrough() };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function said(): string {
  return [context.stdout, context.stderr]
    .map((stream) => String((stream as PassThrough).read() ?? ''))
    .join('');
}

/** A terminal on which these keys are typed. */
function terminal(...chunks: string[]): PasswordSource & { modes: boolean[] } {
  const modes: boolean[] = [];
  const source = new PassThrough();
  for (const chunk of chunks) source.write(chunk);
  return Object.assign(source, {
    modes,
    isTTY: true,
    setRawMode: (raw: boolean) => modes.push(raw),
  });
}

describe('a password', () => {
  test('is asked for twice and never shown', async () => {
    const source = terminal('plantx', '\u007Fed', '\rpla', 'nted\r');
    expect(String(await askPassword(context, false, source))).toBe('planted');
    expect(source.modes).toEqual([true, false]);
    expect(said()).toBe('Password: \nOnce more: \n');
  });

  test.each([
    [['one\rother\r'], 'the two passwords are not the same'],
    [['\r\r'], 'the password is empty'],
    [['on\u0003'], 'nothing was changed'],
  ])('%j: %s', async (keys, why) => {
    const source = terminal(...keys);
    await expect(askPassword(context, false, source)).rejects.toThrow(why);
    expect(source.modes).toEqual([true, false]);
  });

  test('comes from the first line of stdin where that is asked for, and else not', async () => {
    const source = new PassThrough();
    source.end('planted \r\nmore\n');
    expect(String(await askPassword(context, true, source))).toBe('planted ');
    const other = new PassThrough();
    await expect(askPassword(context, false, other)).rejects.toThrow('--password-stdin');
  });
});

describe('the file', () => {
  test('is written whole, readable by its owner alone, and keeps what else is in it', async () => {
    writeFileSync(file, '# mine\na:$7$9$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA\n', { mode: 0o644 });
    await changeUsers(file, ({ text }) => Promise.resolve(`${text}# more\n`));
    expect(readFileSync(file, 'utf8')).toMatch(/^# mine\na:[^\n]+\n# more\n$/u);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('is left as it was by a change that fails', async () => {
    writeFileSync(file, '# mine\n');
    const failing = changeUsers(file, () => Promise.reject(new Error('planted')));
    await expect(failing).rejects.toThrow("can't be written");
    expect(readFileSync(file, 'utf8')).toBe('# mine\n');
    await changeUsers(file, () => Promise.resolve('# other\n'));
    expect((await usersIn(file)).text).toBe('# other\n');
  });

  test('is changed by one at a time', async () => {
    const first = Promise.withResolvers<string>();
    const changing = changeUsers(file, () => first.promise);
    await expect
      .poll(() =>
        changeUsers(file, () => Promise.resolve('')).catch((error: Error) => error.message),
      )
      .toContain(`${file} is being changed by another gatelog user`);
    first.resolve('# first\n');
    await changing;
    expect(readFileSync(file, 'utf8')).toBe('# first\n');
  });

  test('that there is not has no list', async () => {
    await expect(listUsers(context, { file })).rejects.toThrow(`there is no file ${file}`);
  });

  test.each([
    ['a/b', true],
    ['+', true],
    ['a#', true],
    ['$a', true],
    ['a-b', false],
  ])('a name that stands for nothing in rules is told of: %s, %j', async (name, isTold) => {
    writeFileSync(file, '');
    const stdin = new PassThrough();
    stdin.end('planted\n');
    const before = Object.getOwnPropertyDescriptor(process, 'stdin');
    Object.defineProperty(process, 'stdin', { value: stdin, configurable: true });
    try {
      await setPassword(context, 'add', { file, name, passwordStdin: true });
    } finally {
      if (before !== undefined) Object.defineProperty(process, 'stdin', before);
    }
    expect(said().includes('rules with %u match nothing for it')).toBe(isTold);
  });

  test('list and remove', async () => {
    const entry = '$7$9$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA';
    writeFileSync(file, `a:${entry}\nb:${entry}\n`);
    await listUsers(context, { file });
    await removeUser(context, { file, name: 'a' });
    await listUsers(context, { file });
    expect(said()).toMatch(/^a\nb\na was removed from \S+; .*within a minute.*reload\nb\n$/u);
    await expect(removeUser(context, { file, name: 'a' })).rejects.toThrow('there is no user "a"');
  });
});
