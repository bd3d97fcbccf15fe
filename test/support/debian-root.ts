import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { ensureTools, toolFile } from '../setup/tools.mjs';
import { type Finished, type Running, runChecked, runProcess, startProcess } from './process.ts';

/** Debian systems in folders, made by debootstrap once and copied for each test. Wants root. */
const CACHE = path.join(import.meta.dirname, '../../.cache/debian');

export interface DebianSpec {
  readonly suite?: 'bookworm' | 'trixie';
  readonly arch?: 'amd64' | 'arm64';
  /** Packages beside the essential ones; there is no network inside to get more from. */
  readonly include?: readonly string[];
}

/**
 * The folder of a system that is kept and MUST NOT be changed; the first time it takes a minute or two, for
 * another architecture than this machine's five, whose programs are emulated.
 */
export async function debianBase(spec: DebianSpec = {}): Promise<string> {
  const { suite = 'bookworm', arch = 'amd64', include = [] } = spec;
  const packages = [...include].toSorted().join(',');
  const key = createHash('sha256').update(packages).digest('hex').slice(0, 8);
  const base = path.join(CACHE, `${suite}-${arch}-${key}`);
  if (existsSync(base)) return base;
  ensureTools(PATH, ['debootstrap']);
  const archives = path.join(CACHE, 'archives');
  mkdirSync(archives, { recursive: true });
  const making = mkdtempSync(path.join(CACHE, 'making-'));
  const args = [
    '--variant=minbase',
    `--arch=${arch}`,
    `--cache-dir=${archives}`,
    ...(isForeign(arch) ? ['--foreign'] : []),
    ...(packages === '' ? [] : [`--include=${packages}`]),
    suite,
    path.join(making, 'root'),
  ];
  try {
    await runChecked({ command: 'debootstrap', args, env: { PATH } }, BASE_LIMIT_MS);
    if (isForeign(arch)) await configure(path.join(making, 'root'));
    // Unless another process made the same meanwhile.
    if (!existsSync(base)) renameSync(path.join(making, 'root'), base);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return base;
}

/** Debian keeps it in /usr/sbin, which is not on every user's path. */
const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`;
const BASE_LIMIT_MS = 1_500_000;

function isForeign(arch: DebianSpec['arch']): boolean {
  return arch === 'arm64' && process.arch !== 'arm64';
}

/** What debootstrap leaves to a machine of that kind. */
async function configure(folder: string): Promise<void> {
  // It then does not ask for devices of its own to be made, which nobody can in a user namespace.
  const second = 'container=lxc chroot . /debootstrap/debootstrap --second-stage';
  const holder = await startProcess({ ...emulatedSpec([...INSIDE, second]), cwd: folder });
  const { code } = await holder.exited;
  if (code !== 0)
    throw new Error(`debootstrap's second stage ended with ${code}: ${holder.stdout()}`);
}

/** What a command inside finds, and nothing else of the machine's. */
const ENVIRONMENT = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/root',
  'LC_ALL=C.UTF-8',
  'DEBIAN_FRONTEND=noninteractive',
];

/** A copy of a base in a folder of its own, for `systemd-nspawn --directory` and the like. */
export async function copyOfDebian(spec: DebianSpec = {}): Promise<string> {
  const base = await debianBase(spec);
  const folder = path.join(mkdtempSync(path.join(CACHE, 'copy-')), 'root');
  const args = ['--archive', '--reflink=auto', base, folder];
  await runChecked({ command: 'cp', args }, BASE_LIMIT_MS);
  return folder;
}

export function removeCopy(folder: string): void {
  rmSync(path.dirname(folder), { recursive: true, force: true });
}

/**
 * A Debian whose commands see its own files, processes and loopback network, and no systemd: as in a
 * container. Nothing of it outlives `remove`, or the process of the test.
 */
export class DebianCell {
  readonly folder: string;
  readonly #holder: Running;
  readonly #pid: number;

  readonly #emulated: boolean;

  private constructor(folder: string, holder: Running, pid: number, emulated: boolean) {
    this.folder = folder;
    this.#holder = holder;
    this.#pid = pid;
    this.#emulated = emulated;
  }

  static async make(spec: DebianSpec = {}): Promise<DebianCell> {
    const folder = await copyOfDebian(spec);
    // Not chroot alone: who enters would not find it.
    const set = [...INSIDE, 'echo ready', 'exec chroot . /bin/sleep infinity'];
    const emulated = isForeign(spec.arch);
    const holder = await startProcess({
      ...(emulated ? emulatedSpec(set) : ownSpec(set)),
      cwd: folder,
    });
    try {
      await holder.waitFor(/^ready$/mu);
      // Emulated there is a shell between.
      const outer = emulated ? childOf(holder.pid) : holder.pid;
      return new DebianCell(folder, holder, childOf(outer), emulated);
    } catch (error) {
      await holder.kill();
      removeCopy(folder);
      throw error;
    }
  }

  /** Runs a command inside to its end, whatever its exit code. */
  run(args: readonly string[], timeoutMs?: number): Promise<Finished> {
    return runProcess(this.#inside(args), timeoutMs);
  }

  /** As `run`; an exit code other than 0 rejects with what the command said. */
  check(args: readonly string[], timeoutMs?: number): Promise<Finished> {
    return runChecked(this.#inside(args), timeoutMs);
  }

  /** As that user; who enters a process namespace only waits there for its child, which gets its SIGTERM so. */
  start(args: readonly string[], user: string = 'root'): Promise<Running> {
    const as = [`--reuid=${user}`, `--regid=${user}`, '--clear-groups'];
    return startProcess(this.#inside(['setpriv', ...as, '--pdeathsig=TERM', ...args]));
  }

  /** Where a file of the inside lies outside. */
  path(inside: string): string {
    return path.join(this.folder, inside);
  }

  async remove(): Promise<void> {
    await this.#holder.kill();
    removeCopy(this.folder);
  }

  #inside(args: readonly string[]): { command: string; args: readonly string[] } {
    const user = this.#emulated ? ['--user'] : [];
    const into = [...user, '--mount', '--pid', '--net', '--uts', '--ipc', '--root'];
    return {
      command: 'nsenter',
      args: [`--target=${this.#pid}`, ...into, 'env', '--chdir=/', '-i', ...ENVIRONMENT, ...args],
    };
  }
}

const APART = ['--mount', '--pid', '--net', '--uts', '--ipc', '--fork', '--kill-child'];

/** In the folder of the system, in namespaces of its own. */
const INSIDE = [
  'mount -t proc proc proc',
  'mount --rbind --make-rslave /dev dev',
  'mount -t tmpfs tmpfs run',
  'ip link set lo up',
];

interface HolderSpec {
  readonly command: string;
  readonly args: readonly string[];
}

function ownSpec(lines: readonly string[]): HolderSpec {
  return { command: 'unshare', args: [...APART, '/bin/sh', '-ec', lines.join('\n')] };
}

/**
 * With programs of arm64 run by qemu. The kernel is told so in a user namespace (since Linux 6.7 each has its
 * own binfmt_misc), so that nothing changes for the rest of the machine.
 */
function emulatedSpec(lines: readonly string[]): HolderSpec {
  const qemu = toolFile('qemu-aarch64-static');
  const register = `printf '%s' ':qemu-aarch64:M::${ELF_MAGIC}:${ELF_MASK}:${qemu}:F'`;
  const binfmt = '/proc/sys/fs/binfmt_misc';
  const inner = [
    `mount -t binfmt_misc none ${binfmt}`,
    `${register} > ${binfmt}/register`,
    ...lines,
  ];
  const mapped = 'until grep -q . /proc/self/gid_map; do sleep 0.05; done';
  const become = 'setpriv --reuid=0 --regid=0 --clear-groups --pdeathsig=KILL';
  const outer = [
    `unshare --user /bin/sh -c '${mapped}; exec "$@"' sh ${become} unshare ${APART.join(' ')} /bin/sh -ec "$1" &`,
    'pid=$!',
    'until echo 0 0 65536 2>/dev/null > /proc/$pid/uid_map; do sleep 0.05; done',
    'echo 0 0 65536 > /proc/$pid/gid_map',
    'wait $pid',
  ];
  return { command: '/bin/sh', args: ['-c', outer.join('\n'), 'sh', inner.join('\n')] };
}

const ELF_MAGIC = String.raw`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`;
const ELF_MASK = String.raw`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`;

/** The first process of the new process namespace, as this one counts. */
function childOf(pid: number): number {
  const child = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
  if (child === 0) throw new Error(`process ${pid} has no child`);
  return child;
}
