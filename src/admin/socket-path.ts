import { open } from 'node:fs/promises';
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
