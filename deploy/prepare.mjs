/**
 * What `npm start` and `npm test` share: install and build what is missing, and run programs.
 * Plain JavaScript without packages, for any Node from 20: it runs before anything is installed.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..');

/**
 * What Node runs gatelog with (`DECISIONS.md`, 5). Left to itself V8 lets the garbage of short-lived
 * records pile up as if memory were plenty. The rules of the test suite compare all who start it.
 */
export const NODE_FLAGS = readJson(join(ROOT, 'deploy', 'node-flags.json'));
/** And in which environment: the C library otherwise keeps large blocks that were freed. */
export const NODE_ENVIRONMENT = readJson(join(ROOT, 'deploy', 'node-env.json'));

/** A trouble that one line explains; its stack helps nobody. */
export class PrepareError extends Error {}

/** Ends the process with the message of a `PrepareError`, or the stack of anything else. */
export function fail(error) {
  process.stderr.write(
    error instanceof PrepareError ? `gatelog: ${error.message}\n` : `${error?.stack ?? error}\n`,
  );
  process.exit(1);
}

/** The Node that the lock file names; on systems without its package this one, if it is new enough. */
export function lockedNode() {
  const locked = join(ROOT, 'node_modules', '.bin', 'node');
  if (existsSync(locked)) return locked;
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  throw new PrepareError(
    `no Node package for ${process.platform}-${process.arch}: install Node 24 or newer ` +
      `(this is ${process.versions.node}) and try again`,
  );
}

/** The npm that runs us, else the one on the path. */
export function npmCommand(args) {
  const npm = process.env.npm_execpath;
  return npm?.endsWith('.js') ? [process.execPath, [npm, ...args]] : ['npm', args];
}

/** The signal that a person sent; nothing is started after it. */
let stoppedBy;

const SETPRIV = '/usr/bin/setpriv';

/**
 * Runs a program with our input and output and resolves with its exit code (128 + n after signal
 * n). SIGTERM and SIGINT go on to it, each once: in a terminal Ctrl-C reaches it anyway; elsewhere
 * it gets a group of its own, so that a signal to our whole group does not come to it twice. When
 * `stop` aborts it gets a SIGTERM, and a SIGKILL ten seconds later.
 */
export function run(command, args, options = {}, stop) {
  if (stoppedBy !== undefined) throw new PrepareError(`stopped by ${stoppedBy}`);
  const terminal = process.stdin.isTTY === true;
  const tied = !terminal && process.platform === 'linux' && existsSync(SETPRIV);
  // A process in a group of its own must still not outlive us, however we end.
  const whole = tied ? [SETPRIV, '--pdeathsig', 'TERM', command, ...args] : [command, ...args];
  return new Promise((done, reject) => {
    const child = spawn(whole[0], whole.slice(1), {
      cwd: ROOT,
      stdio: 'inherit',
      ...options,
      detached: tied,
    });
    const last = { SIGINT: -Infinity, SIGTERM: -Infinity };
    const pass = (name) => {
      stoppedBy = name;
      if (name === 'SIGINT' && terminal) return;
      // npm and a shell may each repeat one and the same signal.
      const now = performance.now();
      if (now - last[name] > 500) child.kill(name);
      last[name] = now;
    };
    process.on('SIGINT', pass);
    process.on('SIGTERM', pass);
    let killer;
    const stopNow = () => {
      child.kill('SIGTERM');
      killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    };
    stop?.addEventListener('abort', stopNow, { once: true });
    const settle = () => {
      clearTimeout(killer);
      stop?.removeEventListener('abort', stopNow);
      process.off('SIGINT', pass);
      process.off('SIGTERM', pass);
    };
    child.once('error', (error) => {
      settle();
      reject(new PrepareError(`can't run ${command}: ${error.message}`));
    });
    child.once('close', (code, signal) => {
      settle();
      done(signal === null ? code : 128 + constants.signals[signal]);
    });
  });
}

function readJson(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/**
 * An optional package made for this very system must be there (a binary, say: Node itself is one).
 * Others are rightly absent: those for other systems, and stand-ins that belong to them.
 */
function isMadeForUs({ os, cpu, libc }) {
  if (os === undefined || cpu === undefined) return false;
  const glibc = process.report?.getReport().header.glibcVersionRuntime !== undefined;
  const ourLibc = libc === undefined || libc.includes(glibc ? 'glibc' : 'musl');
  return os.includes(process.platform) && cpu.includes(process.arch) && ourLibc;
}

/** True when node_modules holds exactly the versions of the lock file, by npm's own note of it. */
export function modulesMatchLock() {
  const locked = readJson(join(ROOT, 'package-lock.json'))?.packages;
  const installed = readJson(join(ROOT, 'node_modules', '.package-lock.json'))?.packages;
  if (locked === undefined || installed === undefined) return false;
  return Object.entries(locked).every(([path, entry]) => {
    if (path === '' || entry.link === true) return true;
    const present = installed[path];
    if (present === undefined) return entry.optional === true && !isMadeForUs(entry);
    return present.version === entry.version && existsSync(join(ROOT, path, 'package.json'));
  });
}

export async function ensureModules() {
  if (modulesMatchLock()) return;
  process.stdout.write('gatelog: installing the packages of package-lock.json (npm ci)\n');
  const [command, args] = npmCommand(['ci']);
  const code = await run(command, args);
  if (code === 0 && modulesMatchLock()) return;
  throw new PrepareError(
    code === 0
      ? 'npm ci ended well but node_modules does not match package-lock.json'
      : `npm ci failed (exit code ${code}): see npm's message above; it needs the npm registry`,
  );
}

/** The newest change below a folder, in milliseconds since 1970. */
function newest(folder) {
  let last = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const time = entry.isDirectory() ? newest(path) : statSync(path).mtimeMs;
    last = Math.max(last, time);
  }
  return last;
}

/** When the last build was done; the build writes this file last. */
export const BUILD_STAMP = join(ROOT, 'dist', '.built');

export function buildIsFresh() {
  if (!existsSync(BUILD_STAMP) || !existsSync(join(ROOT, 'dist', 'main.js'))) return false;
  const built = statSync(BUILD_STAMP).mtimeMs;
  const inputs = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  const changed = inputs.map((name) => statSync(join(ROOT, name)).mtimeMs);
  return Math.max(newest(join(ROOT, 'src')), ...changed) <= built;
}

export async function ensureBuilt() {
  if (buildIsFresh()) return;
  process.stdout.write('gatelog: building (npm run build)\n');
  const [command, args] = npmCommand(['run', '--silent', 'build']);
  const code = await run(command, args);
  if (code !== 0) throw new PrepareError(`the build failed (exit code ${code}), see above`);
}
