import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join, resolve } from 'node:path';

export const ROOT: string = resolve(import.meta.dirname, '../..');

/** Debian's names of architectures, and npm's. */
export const ARCHITECTURES = { amd64: 'x64', arm64: 'arm64' } as const;
export type Architecture = keyof typeof ARCHITECTURES;

/**
 * A folder with the packages that the lock file names for a device of that kind, Node among them, whatever
 * this machine is: npm takes those for the other architecture and checks them against the lock file. Kept.
 */
export async function productionModules(architecture: Architecture): Promise<string> {
  const lock = createHash('sha256');
  for (const name of INPUTS) lock.update(readFileSync(join(ROOT, name)));
  const cache = join(ROOT, '.cache', 'package');
  const folder = join(cache, `modules-${architecture}-${lock.digest('hex').slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const making = mkdtempSync(join(cache, 'making-'));
  try {
    for (const name of INPUTS) copyFileSync(join(ROOT, name), join(making, name));
    const cpu = ARCHITECTURES[architecture];
    await npm(
      ['ci', '--omit=dev', '--ignore-scripts', '--os=linux', `--cpu=${cpu}`, '--libc=glibc'],
      making,
    );
    const node = join(making, 'node_modules', `node-linux-${cpu}`, 'bin', 'node');
    if (!existsSync(node)) {
      throw new Error(`npm ci left out ${node}: it takes --cpu since npm 10; is this one older?`);
    }
    if (!existsSync(folder)) renameSync(making, folder);
    return folder;
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

const INPUTS = ['package.json', 'package-lock.json', '.npmrc'];

/** The npm that runs us, else the one on the path. */
function npm(args: readonly string[], cwd: string): Promise<void> {
  const own = process.env['npm_execpath'];
  const [command, first] = own?.endsWith('.js') === true ? [process.execPath, [own]] : ['npm', []];
  return new Promise((done, reject) => {
    const child = spawn(command, [...first, ...args], {
      cwd,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) done();
      else reject(new Error(`npm ${args.join(' ')} ended with ${code}: see its message above`));
    });
  });
}
