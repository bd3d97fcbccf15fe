import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';

/**
 * A process of its own: takes connections in its network, and hands each on to a socket in the file system, which
 * is the same in all networks. Called with a socket's folder, an address and ports to listen on; the
 * socket of a port is called by its number.
 */
const [folder = '', host = '', ...ports] = process.argv.slice(2);

for (const port of ports) {
  const server = createServer((near) => {
    const far = connect(`${folder}/${port}`);
    pipeline(near, far, near, () => {}); // Either end takes the other along.
  });
  await new Promise<void>((resolve) => server.listen(Number(port), host, resolve));
}
process.stdout.write('relays\n');
