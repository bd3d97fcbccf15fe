import { createHash } from 'node:crypto';
import { lstat, mkdir, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';

/** The control socket of a data folder, as the system calls take it. */
export interface SocketAddress {
  readonly path: string;
  /** Call when the socket is listened on, or connected to. */
  release(): Promise<void>;
}

export const SOCKET_NAME = 'agent.sock';

/**
 * Where the socket of an agent is whose data folder can't be written: a folder of this user alone,
 * made if need be. Throws STORE_UNAVAILABLE when it is somebody else's.
 */
export async function standInFolder(dataFolder: string): Promise<string> {
  const folder = standInPath(dataFolder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await requireOurs(folder);
  return folder;
}

/** The same for who asks; undefined when there is none of ours. */
export async function knownStandIn(dataFolder: string): Promise<string | undefined> {
  const folder = standInPath(dataFolder);
  return requireOurs(folder).then(
    () => folder,
    () => undefined,
  );
}

function standInPath(dataFolder: string): string {
  const user = process.getuid?.() ?? 0;
  const name = createHash('sha256').update(path.resolve(dataFolder)).digest('hex').slice(0, 16);
  return path.join(tmpdir(), `gatelog-${user}-${name}`);
}

async function requireOurs(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (found.isDirectory() && found.uid === (process.getuid?.() ?? 0)) return;
  throw new GatelogError('STORE_UNAVAILABLE', `${folder} is not ours`);
}

/**
 * unix(7) gives a socket's path 107 bytes. A longer one goes through an open descriptor of the
 * folder, which is the same file by a short name.
 */
export async function socketAddress(dataFolder: string): Promise<SocketAddress> {
  const direct = path.join(dataFolder, SOCKET_NAME);
  if (Buffer.byteLength(direct) <= LIMITS.socketPathBytes) {
    return { path: direct, release: () => Promise.resolve() };
  }
  try {
    const folder = await open(dataFolder, 'r');
    return { path: `/proc/self/fd/${folder.fd}/${SOCKET_NAME}`, release: () => folder.close() };
  } catch (error) {
    throw new GatelogError(
      'STORE_UNAVAILABLE',
      `can't reach the control socket in ${dataFolder}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
