import { ACCESS_LIMITS } from '../access-limits.ts';
import { GatelogError } from '../errors.ts';
import { parseEntry, type PasswordEntry } from './password-entry.ts';

/**
 * The text of a users file, pure: `NAME:ENTRY` a line, as in Mosquitto's password file; empty lines
 * and those that begin with `#` are passed over, and kept when it is changed.
 */
export interface FileUser {
  /** As it stands there. */
  readonly text: string;
  readonly entry: PasswordEntry;
}

export const USER_NAME_EXPECTED: string = `a user name without ":", control characters and spaces at its ends, not beginning with "#", of at most ${ACCESS_LIMITS.userNameBytes} bytes`;

export function isUserName(name: string): boolean {
  if (name === '' || name.startsWith('#') || name.trim() !== name) return false;
  return !/[:\p{Cc}]/u.test(name) && Buffer.byteLength(name) <= ACCESS_LIMITS.userNameBytes;
}

/** Throws CONFIG_INVALID, naming the line and never showing what stands there. */
export function parseUsers(text: string, file: string): Map<string, FileUser> {
  const users = new Map<string, FileUser>();
  for (const [index, line] of linesOf(text).entries()) {
    if (isPassedOver(line)) continue;
    const place = { file, line: index + 1 };
    const refuse = (why: string): never => {
      throw new GatelogError('CONFIG_INVALID', `${file}:${place.line}: ${why}`, { place });
    };
    const name = nameIn(line);
    if (name === undefined) refuse('expected NAME:PASSWORD-HASH, found no such thing');
    else if (!isUserName(name)) refuse(`expected ${USER_NAME_EXPECTED}`);
    else if (users.has(name)) refuse(`the user ${JSON.stringify(name)} stands in a line before`);
    else users.set(name, { text: line, entry: entryIn(line, name, refuse) });
  }
  return users;
}

function entryIn(line: string, name: string, refuse: (why: string) => never): PasswordEntry {
  const text = line.slice(name.length + 1);
  const whose = `the password of ${JSON.stringify(name)}`;
  const renew = 'gatelog user passwd makes a new one';
  if (!text.startsWith('$')) {
    refuse(
      `${whose} is not hashed; ${renew}, and mosquitto_passwd -U hashes those of a whole file`,
    );
  }
  return (
    parseEntry(text) ??
    refuse(`${whose} is hashed in no way that is known ($scrypt$, $7$ or $6$); ${renew}`)
  );
}

/** With that user in its place, or at the end; `entry` undefined takes the user out. */
export function withUser(text: string, name: string, entry: string | undefined): string {
  const lines = linesOf(text);
  const at = lines.findIndex((line) => !isPassedOver(line) && nameIn(line) === name);
  const own = entry === undefined ? [] : [`${name}:${entry}`];
  if (at < 0) lines.push(...own);
  else lines.splice(at, 1, ...own);
  return lines.map((line) => `${line}\n`).join('');
}

function nameIn(line: string): string | undefined {
  const colon = line.indexOf(':');
  return colon < 0 ? undefined : line.slice(0, colon);
}

function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/u);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function isPassedOver(line: string): boolean {
  return line.trim() === '' || line.startsWith('#');
}
