import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { UserTable } from '../../src/agent/broker-auth.ts';
import { UsersFile } from '../../src/agent/broker-users-file.ts';
import { PasswordCheck } from '../../src/agent/password-check.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';

/** What a wrong login costs says nothing of who there is. */
const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-users-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HASH = Buffer.alloc(64, 1).toString('base64');

async function table(lines: readonly string[]): Promise<UserTable> {
  const file = path.join(folder, 'users');
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  const clock = new SimClock();
  const users = [{ username: 'boss', password: 'right' }];
  const usersFile = await UsersFile.open(file, clock, silentLogger);
  usersFile.stop();
  return new UserTable(users, usersFile);
}

/** With what the password was compared. */
async function compared(users: UserTable, name: string, password: string): Promise<unknown[]> {
  using looks = vi.spyOn(PasswordCheck.prototype, 'isRight');
  const given = Buffer.from(password);
  expect(await users.check(name, given, false, () => false, 'here')).toBe('wrong');
  return looks.mock.calls.map(
    ([
      ,
      ,
      {
        entry: { kind, hash, ...rest },
      },
    ]) => ({
      kind,
      bytes: hash.length,
      isItsHash: hash.toString('base64') === HASH,
      ...('iterations' in rest ? { iterations: rest.iterations } : {}),
    }),
  );
}

test('a name that nobody has costs what one of the file does, and one of the configuration too', async () => {
  const users = await table([`press:$7$101$c2FsdA==$${HASH}`]);
  const alike = { kind: 'pbkdf2', bytes: 64, iterations: 101 };
  expect(await compared(users, 'press', 'wrong')).toEqual([{ ...alike, isItsHash: true }]);
  expect(await compared(users, 'nobody', 'wrong')).toEqual([{ ...alike, isItsHash: false }]);
  expect(await compared(users, 'boss', 'wrong')).toEqual([{ ...alike, isItsHash: false }]);
});

test('of a file with hashes of several kinds a name has always the same', async () => {
  const users = await table([
    `press:$7$101$c2FsdA==$${HASH}`,
    `board:$6$c2FsdA==$${HASH}`,
    `lamp:$7$7$c2FsdA==$${HASH}`,
  ]);
  for (const name of ['one', 'two', 'three']) {
    const first = await compared(users, name, 'wrong');
    for (let times = 0; times < 5; times++) {
      expect(await compared(users, name, `wrong ${times}`)).toEqual(first);
    }
  }
});

test('the right password of the configuration is right, and in an empty file nobody is', async () => {
  const users = await table([]);
  const right = Buffer.from('right');
  expect(await users.check('boss', right, false, () => false, 'here')).toBe('accepted');
  expect(await users.check('nobody', right, false, () => false, 'here')).toBe('wrong');
});
