import { ACCESS_LIMITS } from '../access-limits.ts';

/** Whether a password of CONNECT is a token (JWT in its compact form), good or not. */
export function isToken(password: Uint8Array): boolean {
  if (password.length > ACCESS_LIMITS.tokenBytes) return false;
  const text = Buffer.from(password).toString('latin1');
  const [, header] = /^([\w-]+)\.[\w-]+\.[\w-]*$/u.exec(text) ?? [];
  if (header === undefined) return false;
  try {
    const fields: unknown = JSON.parse(Buffer.from(header, 'base64url').toString('utf8'));
    return typeof fields === 'object' && fields !== null && 'alg' in fields;
  } catch {
    return false;
  }
}

/** A claim by its name, or by names with dots between them, as in `realm_access.roles`. */
export function claimOf(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) {
      return undefined;
    }
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/** undefined: it is no name that a user could have. */
export function userIn(claim: unknown): string | undefined {
  if (typeof claim !== 'string' || claim === '' || /\p{Cc}/u.test(claim)) return undefined;
  return Buffer.byteLength(claim) <= ACCESS_LIMITS.userNameBytes ? claim : undefined;
}

/** A list of names, or names with spaces between them, as in `scope`. */
export function rolesIn(claim: unknown): readonly string[] {
  const names = typeof claim === 'string' ? claim.split(' ') : claim;
  if (!Array.isArray(names)) return [];
  const roles = names.filter((name): name is string => typeof name === 'string' && name !== '');
  return roles.slice(0, ACCESS_LIMITS.tokenRoles);
}
