import path from 'node:path';
import { levelsFor } from '../agent/acl-filter.ts';
import { makeEntry } from '../agent/password-entry.ts';
import { isUserName, USER_NAME_EXPECTED, withUser } from '../agent/users-file.ts';
import { changeUsers, usersIn, type UsersNow } from '../agent/users-file-change.ts';
import { GatelogError } from '../errors.ts';
import { type CliContext, printError, printLine } from './context.ts';
import { askPassword } from './password.ts';
import { configOf } from './place.ts';

export interface UserOptions {
  readonly config?: string | undefined;
  readonly file?: string | undefined;
}

interface PasswordOptions extends UserOptions {
  readonly name: string;
  readonly passwordStdin: boolean;
}

const WHEN = 'an agent that runs takes it within a minute, and at once with gatelog reload';

/** `gatelog user add NAME`, and `passwd NAME` for one who is there. */
export async function setPassword(
  context: CliContext,
  kind: 'add' | 'passwd',
  options: PasswordOptions,
): Promise<void> {
  const { name } = options;
  if (!isUserName(name)) {
    const message = `expected ${USER_NAME_EXPECTED}, found ${JSON.stringify(name)}`;
    throw new GatelogError('USAGE', message);
  }
  const file = usersFileOf(context, options);
  // Before a person has typed a password twice.
  checkThere(kind, name, await usersIn(file), file);
  const password = await askPassword(context, options.passwordStdin);
  let isNew = false;
  await changeUsers(file, async (now) => {
    checkThere(kind, name, now, file);
    isNew = !now.isThere;
    return withUser(now.text, name, await makeEntry(password, context.random));
  });
  const done = kind === 'add' ? `${name} was added to ${file}` : `${name} has a new password`;
  printLine(context, `${done}; ${WHEN}`);
  if (kind === 'add' && levelsFor('%u', { user: name, client: '' }) === undefined) {
    const why = 'it has /, + or # in it, or begins with $';
    const what = 'own topics and rules with %u match nothing for it';
    printError(context, `note: ${JSON.stringify(name)} is a name of which ${what}: ${why}`);
  }
  if (isNew && process.getuid?.() === 0) {
    printError(context, `note: ${file} is root's alone; give it to the user that runs the agent`);
  }
}

export async function removeUser(
  context: CliContext,
  options: UserOptions & { readonly name: string },
): Promise<void> {
  const { name } = options;
  const file = usersFileOf(context, options);
  await changeUsers(file, async (now) => {
    checkThere('passwd', name, now, file);
    return withUser(now.text, name, undefined);
  });
  printLine(context, `${name} was removed from ${file}; ${WHEN}`);
}

/** One name a line, in the order of the file. */
export async function listUsers(context: CliContext, options: UserOptions): Promise<void> {
  const file = usersFileOf(context, options);
  const { users, isThere } = await usersIn(file);
  if (!isThere) throw new GatelogError('NOT_FOUND', `there is no file ${file}`);
  for (const name of users.keys()) printLine(context, name);
}

function checkThere(kind: 'add' | 'passwd', name: string, { users }: UsersNow, file: string): void {
  if (kind === 'add' && users.has(name)) {
    const message = `${name} is in ${file} already; gatelog user passwd gives a new password`;
    throw new GatelogError('USAGE', message);
  }
  if (kind === 'passwd' && !users.has(name)) {
    throw new GatelogError('NOT_FOUND', `there is no user ${JSON.stringify(name)} in ${file}`);
  }
}

function usersFileOf(context: CliContext, options: UserOptions): string {
  if (options.file !== undefined) return path.resolve(context.workingFolder, options.file);
  const file =
    options.config === undefined ? undefined : configOf(context, options).config.mqtt.usersFile;
  if (file !== undefined) return file;
  const message =
    options.config === undefined
      ? 'which file? Name it with --file FILE, or the configuration with --config FILE'
      : `${options.config} names no mqtt.usersFile; name the file there, or with --file FILE`;
  throw new GatelogError('USAGE', message);
}
