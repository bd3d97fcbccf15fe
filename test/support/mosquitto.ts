import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './ports.ts';
import { type Running, startProcess } from './process.ts';

/** A real Mosquitto on loopback, with a configuration of its own. */
export interface Mosquitto {
  readonly port: number;
  readonly url: string;
  /** For files that the configuration names. Removed by `stop`. */
  readonly folder: string;
  readonly process: Running;
  stop(): Promise<void>;
}

export interface MosquittoOptions {
  /** Lines of mosquitto.conf(5) after the listener's; FOLDER stands for the folder. */
  readonly lines?: readonly string[];
  /** Files to be written into the folder first. */
  readonly files?: Readonly<Record<string, string>>;
  /** Runs in this network namespace, and listens on this address of it. */
  readonly at?: { readonly namespace: string; readonly address: string } | undefined;
}

export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const folder = await mkdtemp(join(tmpdir(), 'gatelog-mosquitto-'));
  const [port = 0] = await freePorts(1);
  const { address = '127.0.0.1', namespace } = options.at ?? {};
  for (const [name, content] of Object.entries(options.files ?? {})) {
    await writeFile(join(folder, name), content);
  }
  const lines = (options.lines ?? ['allow_anonymous true']).map((line) =>
    line.replaceAll('FOLDER', folder),
  );
  const config = ['user root', `listener ${port} ${address}`, ...lines];
  const file = join(folder, 'mosquitto.conf');
  await writeFile(file, `${config.join('\n')}\n`);
  const command = ['mosquitto', '-c', file, '-v'];
  const [first = '', ...args] =
    namespace === undefined ? command : ['ip', 'netns', 'exec', namespace, ...command];
  const process = await startProcess({ command: first, args });
  await process.waitFor(/running/u);
  await accepting(port, address);
  return {
    port,
    url: `mqtt://${address}:${port}`,
    folder,
    process,
    stop: async () => {
      await process.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function accepting(port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
