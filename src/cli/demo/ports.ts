import { createServer } from 'node:net';
import { GatelogError, systemCodeOf } from '../../errors.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';

const HOST = '127.0.0.1';

/** Whether a port can be listened on now. Rejects for reasons other than that it is taken. */
async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host: HOST, exclusive: true }, resolve);
    });
  } catch (error) {
    if (['EADDRINUSE', 'EACCES'].includes(systemCodeOf(error) ?? '')) return false;
    throw error;
  }
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return true;
}

/** The first free loopback port from `wanted` upwards that is not among `taken`. */
export async function freePort(wanted: number, taken: readonly number[] = []): Promise<number> {
  const last = Math.min(65_535, wanted + TRIAL_LIMITS.demoPortsTried);
  for (let port = wanted; port <= last; port++) {
    if (!taken.includes(port) && (await isFree(port))) return port;
  }
  throw new GatelogError(
    'LISTEN_FAILED',
    `no free port on ${HOST} from ${wanted} to ${last}: end a program that listens there, or ` +
      'choose another place to start from with --port.',
  );
}
