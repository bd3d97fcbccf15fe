import { chmodSync } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { messageOf, systemCodeOf } from '../errors.ts';

/** Its owner and its group may connect: whoever is to publish joins the group. */
const SOCKET_MODE = 0o660;

/** Removes the socket of a process that is gone. Throws where something else is in the way. */
export async function clearWay(file: string): Promise<void> {
  const found = await lstat(file).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${file} is in the way and is no socket: remove it`);
  const trouble = await knock(file);
  if (trouble === undefined) throw new Error('another process listens there');
  if (systemCodeOf(trouble) !== 'ECONNREFUSED') {
    throw new Error(`can't tell whether somebody listens there: ${messageOf(trouble)}`);
  }
  await unlink(file);
}

/** The socket is bound within the call, so the mask holds for it and for nothing else. */
export function bindUnix(server: Server, file: string, bound: () => void): void {
  const before = process.umask(0o777 & ~SOCKET_MODE);
  try {
    server.listen(file, () => {
      chmodSync(file, SOCKET_MODE);
      bound();
    });
  } finally {
    process.umask(before);
  }
}

/** Undefined: somebody opened. */
function knock(file: string): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const socket = connect(file, () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', resolve);
  });
}
