import {
  chown,
  copyFile,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { configFiles, defaultConfig, loadConfig } from '../../agent/config.ts';
import { reasonOf } from '../../agent/config-document.ts';
import { makeEntry } from '../../agent/password-entry.ts';
import { withUser } from '../../agent/users-file.ts';
import { changeUsers, usersIn } from '../../agent/users-file-change.ts';
import { GatelogError, systemCodeOf } from '../../errors.ts';
import type { CliContext } from '../context.ts';
import type { InitAnswers } from './answers.ts';
import { accountOf, configText, USERS_FILE } from './text.ts';

/** Owner of what is written, where root does it for the user that runs gatelog. */
interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface WrittenFile {
  readonly file: string;
  readonly what: string;
}

/**
 * Nothing is lost unasked. A file that says nothing but defaults, as a package brings it, may be replaced.
 * Throws USAGE.
 */
export async function requireFree(
  file: string,
  force: boolean,
  context: CliContext,
): Promise<void> {
  if (force || !(await isThere(file)) || saysOnlyDefaults(file, context)) return;
  const message = `${file} is there already; nothing was changed. --force writes it anew, and keeps the old one as ${file}.old`;
  throw new GatelogError('USAGE', message);
}

/**
 * What lies beside the file may be another configuration's: its password at the far side, and its devices'.
 * Throws USAGE.
 */
export async function requireUntouched(
  file: string,
  answers: InitAnswers,
  force: boolean,
): Promise<void> {
  if (force) return;
  const folder = path.dirname(file);
  const secret = secretOf(folder, answers);
  if (secret !== undefined && (await textOf(secret.file, secret.text)) !== secret.text) {
    refuseUnasked(secret.file, 'holds another password');
  }
  const usersFile = path.join(folder, USERS_FILE);
  const { users: known } = await usersIn(usersFile);
  const again = answers.users.filter(({ name }) => known.has(name)).map(({ name }) => name);
  if (again.length > 0) refuseUnasked(usersFile, `has ${again.join(', ')} already`);
}

function refuseUnasked(file: string, what: string): never {
  const message = `${file} ${what}; nothing was changed. --force gives new passwords, and keeps the old file as ${file}.old`;
  throw new GatelogError('USAGE', message);
}

/** Of the account at the far side, where its password is not in a file already. */
function secretOf(
  folder: string,
  answers: InitAnswers,
): { readonly file: string; readonly text: string; readonly what: string } | undefined {
  const there = accountOf(answers);
  if (there === undefined || !('text' in there.account.password)) return undefined;
  const { username, password } = there.account;
  const what = `the password of ${username} at ${there.at}`;
  return { file: path.join(folder, there.secret), text: `${password.text}\n`, what };
}

async function textOf(file: string, otherwise: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return otherwise;
    throw new GatelogError('CONFIG_INVALID', `${file}: can't be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** What a file that is to be written anew includes: the new one does not. */
export function includedBy(file: string, { env, workingFolder }: CliContext): string[] {
  try {
    const [, ...included] = configFiles(file, { env, workingFolder });
    return included.map((one) => one.file);
  } catch {
    return [];
  }
}

/** Secrets first, so that the configuration never names what is not there. Throws CONFIG_INVALID. */
export async function writeAll(
  file: string,
  answers: InitAnswers,
  context: CliContext,
): Promise<WrittenFile[]> {
  const folder = path.dirname(file);
  try {
    await mkdir(folder, { recursive: true });
    const owner = await ownerFor(folder);
    const written: WrittenFile[] = [];
    const secret = secretOf(folder, answers);
    if (secret !== undefined) {
      await mkdir(path.dirname(secret.file), { recursive: true, mode: 0o700 });
      await give(path.dirname(secret.file), owner);
      if ((await textOf(secret.file, secret.text)) !== secret.text) await keep(secret.file, owner);
      await writeWhole(secret.file, secret.text, 0o600, owner);
      written.push({ file: secret.file, what: secret.what });
    }
    if (answers.users.length > 0) {
      const users = path.join(folder, USERS_FILE);
      if ((await textOf(users, '')) !== '') await keep(users, owner);
      await writeUsers(users, answers, context);
      await give(users, owner);
      written.push({ file: users, what: 'who may connect; passwords are hashed' });
    }
    if (await isThere(file)) await keep(file, undefined);
    const reference = `file:${accountOf(answers)?.secret ?? ''}`;
    await writeWhole(file, configText(answers, reference, file), 0o644, undefined);
    return [...written, { file, what: 'the configuration' }];
  } catch (error) {
    if (error instanceof GatelogError) throw error;
    const message = `${folder}: can't be written: ${reasonOf(error)}`;
    throw new GatelogError('CONFIG_INVALID', message, { cause: error });
  }
}

async function writeUsers(
  file: string,
  { users }: InitAnswers,
  { random }: CliContext,
): Promise<void> {
  for (const { name, password } of users) {
    await changeUsers(file, async ({ text }) =>
      withUser(text, name, await makeEntry(password, random)),
    );
  }
}

/** As FILE.old; one from before, which may be what a person wrote, gets a number. */
async function keep(file: string, owner: Owner | undefined): Promise<void> {
  const old = `${file}.old`;
  let number = 1;
  while (await isThere(`${old}.${number}`)) number++;
  if (await isThere(old)) await rename(old, `${old}.${number}`);
  await copyFile(file, old);
  await give(old, owner);
}

/** As one step, also after a power cut. */
async function writeWhole(
  file: string,
  text: string,
  mode: number,
  owner: Owner | undefined,
): Promise<void> {
  const fresh = `${file}.new`;
  // One that was left over has the mode and the owner that it has.
  await rm(fresh, { force: true });
  await writeFile(fresh, text, { mode, flush: true, flag: 'wx' });
  await give(fresh, owner);
  await rename(fresh, file);
  const folder = await open(path.dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function give(file: string, owner: Owner | undefined): Promise<void> {
  if (owner !== undefined) await chown(file, owner.uid, owner.gid);
}

/** Where root writes for the whole machine, secrets are for the user of the package's unit. */
async function ownerFor(folder: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0 || !folder.startsWith('/etc/')) return undefined;
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const [, , uid, gid] =
    users
      .split('\n')
      .find((line) => line.startsWith('gatelog:'))
      ?.split(':') ?? [];
  return uid === undefined || gid === undefined
    ? undefined
    : { uid: Number(uid), gid: Number(gid) };
}

async function isThere(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw new GatelogError('CONFIG_INVALID', `${file}: can't be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function saysOnlyDefaults(file: string, { env, workingFolder }: CliContext): boolean {
  try {
    const surroundings = { env, workingFolder };
    const said = loadConfig(file, surroundings).config;
    // The folder is the package's choice.
    const usual = { ...defaultConfig(surroundings), data: said.data };
    return isDeepStrictEqual(said, usual);
  } catch {
    return false;
  }
}
