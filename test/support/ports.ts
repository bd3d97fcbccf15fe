import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Free TCP ports on loopback, from below the range that the system hands to outgoing connections,
 * so that a port found free is not taken by somebody's connection before its user listens on it.
 */
const FIRST = 20_000;
const LAST = 31_999;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => {
      server.close(() => resolve(true));
    });
  });
}

const taken = new Set<number>();

/** `count` different free ports, never the same ones twice in one process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  let tries = 0;
  while (ports.length < count) {
    tries += 1;
    if (tries > 10_000) throw new Error(`no ${count} free ports between ${FIRST} and ${LAST}`);
    const port = randomInt(FIRST, LAST + 1);
    if (taken.has(port) || !(await isFree(port))) continue;
    taken.add(port);
    ports.push(port);
  }
  return ports;
}
