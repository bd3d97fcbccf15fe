import { messageOf } from '../errors.ts';
import { readAclFile } from './broker-acl-file.ts';
import { readUsersFile } from './broker-users-file.ts';
import type { CertificateFinding } from './config-certificates.ts';
import { parseAclFile } from './config-acl-file.ts';
import type { Config } from './config-types.ts';
import { parseUsers } from './users-file.ts';
import { readSmallFile } from './watched-file.ts';

/** Reads the file of users, which the configuration alone only names. */
export async function checkUsersFile({ mqtt }: Config): Promise<CertificateFinding[]> {
  const { usersFile, users } = mqtt;
  if (usersFile === undefined) return [];
  const at = ['mqtt', 'usersFile'];
  try {
    const found = parseUsers(await readUsersFile(usersFile), usersFile);
    const twice = users.find(({ username }) => found.has(username));
    if (twice === undefined) return [];
    const message = `${usersFile} has the user ${JSON.stringify(twice.username)} too, whose password in mqtt.users is the one that counts`;
    return [{ at, message, isError: false }];
  } catch (error) {
    return [{ at, message: messageOf(error), isError: true }];
  }
}

/** Reads the keys of tokens; what a URL gives is not asked for. */
export async function checkTokenKeys({ mqtt }: Config): Promise<CertificateFinding[]> {
  const keys = mqtt.jwt?.keys;
  if (keys?.kind !== 'file') return [];
  try {
    const { keyOf } = await import('./token-keys.ts');
    keyOf(await readSmallFile(keys.file, 'a file of keys'), keys.file);
    return [];
  } catch (error) {
    return [{ at: ['mqtt', 'jwt', 'keys'], message: messageOf(error), isError: true }];
  }
}

export async function checkAclFile({ mqtt }: Config): Promise<CertificateFinding[]> {
  const { aclFile, jwt } = mqtt;
  if (aclFile === undefined) return [];
  try {
    parseAclFile(await readAclFile(aclFile), aclFile, jwt?.rolesClaim !== undefined);
    return [];
  } catch (error) {
    return [{ at: ['mqtt', 'aclFile'], message: messageOf(error), isError: true }];
  }
}
