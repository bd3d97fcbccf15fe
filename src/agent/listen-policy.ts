import { isLocal, parseListen } from './listen-address.ts';
import type { ListenConfig } from './config-types.ts';

/**
 * Who may come in where. What only this machine reaches may be open; everything else is either shut
 * by users or client certificates, or open because a person wrote that it be.
 */

/** Somebody has a password or a token: what is given is looked at. */
export function hasUsers({ users, usersFile, jwt }: UsersOptions): boolean {
  return users.length > 0 || usersFile !== undefined || jwt !== undefined;
}

/** Who connects may have a name that was looked at: by a password, or by its certificate. */
export function hasNames({ listen, ...users }: UsersOptions & ListenOptions): boolean {
  return hasUsers(users) || listen.some(({ tls }) => tls?.user !== undefined);
}

interface ListenOptions {
  readonly listen: readonly ListenConfig[];
}

interface UsersOptions {
  readonly users: readonly unknown[];
  readonly usersFile?: string | undefined;
  readonly jwt?: object | undefined;
}

/** Anybody on this machine gets in here, without a file's permission and without a certificate. */
export function isForAnybodyHere(listen: ListenConfig): boolean {
  const address = parseListen(listen.url);
  if (address === undefined || address.kind === 'unix') return false;
  return listen.tls?.requireCertificate !== true && admitsAnonymous(listen, false);
}

/** May who gives no user name connect here? */
export function admitsAnonymous(listen: ListenConfig, withUsers: boolean): boolean {
  if (listen.allowAnonymous === true) return true;
  if (withUsers) return false;
  if (listen.tls?.requireCertificate === true) return true;
  const address = parseListen(listen.url);
  return listen.allowAnonymous === undefined && address !== undefined && isLocal(address);
}

export const CREDENTIALS_EXPECTED =
  'mqtt.users, mqtt.usersFile, mqtt.jwt, tls.requireCertificate or allowAnonymous: true';

/** Why it is no address to be listened on as things are; undefined: it may be. */
export function troubleOfAccess(listen: ListenConfig, withUsers: boolean): string | undefined {
  if (withUsers || admitsAnonymous(listen, withUsers)) return undefined;
  const why =
    listen.allowAnonymous === false
      ? `nobody could connect to ${listen.url}`
      : `anybody who reaches ${listen.url} could publish and read. Name users, or write allowAnonymous: true if that is meant`;
  return `expected ${CREDENTIALS_EXPECTED}, found none of them: ${why}`;
}
