import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';

/** Sockets in a folder, each of which leads to a port of this machine's loopback. */
export class Sockets {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'gatelog-way-'));
  readonly #servers: Server[] = [];

  async lead(name: number, port: number): Promise<void> {
    const server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      pipeline(near, far, near, () => {}); // Either end takes the other along.
    });
    const path = join(this.folder, String(name));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    this.#servers.push(server);
  }

  /** Whoever is connected was told by the relay's end. */
  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => new Promise((resolve) => server.close(resolve))),
    );
    rmSync(this.folder, { recursive: true, force: true });
  }
}
