import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ensureTools, toolFile } from '../../setup/tools.mjs';
import { DebianCell } from '../debian-root.ts';
import { NetNamespace } from '../network/namespace.ts';
import { type Finished, type ProcessSpec, type Running, runChecked } from '../process.ts';

/**
 * A board with 512 MB: a kernel of its own (User Mode Linux, a program of Debian's) with a booted Debian, its
 * systemd and its control groups of version 2, which this machine need not have. One processor, several times
 * slower than the machine's; times on it say nothing. Wants root.
 */
const MEMORY = '512M';
const DISK_BYTES = 4 * 1024 ** 3;
const SYSTEM = ['systemd', 'systemd-sysv', 'dbus', 'iproute2'];
const UNITS = 'etc/systemd/system';
const CONTROL_PORT = 9000;
const TIMEOUT_MS = 600_000;
const BOOT_SECONDS = 180;

export interface BoardSpec {
  readonly suite: 'bookworm' | 'trixie';
  /** The package that is installed on it. */
  readonly deb: Buffer;
  /** Its configuration. */
  readonly config: string;
  /** Of [Service], beside the unit's own. */
  readonly dropIn: readonly string[];
  /** Ports of its loopback that lead to the same ports of `SmallBoard.outside`. */
  readonly ports: readonly number[];
}

export class SmallBoard {
  /** Where it is reached, in its network. */
  static readonly address = '10.215.0.2';
  /** The other end of its only wire. */
  static readonly outside = '10.215.0.1';
  readonly net: NetNamespace;
  readonly #folder: string;
  #kernel: Running | undefined;

  private constructor(net: NetNamespace, folder: string) {
    this.net = net;
    this.#folder = folder;
  }

  /** Booted, its agent started. */
  static async boot(spec: BoardSpec): Promise<SmallBoard> {
    ensureTools(process.env['PATH'] ?? '', ['linux.uml']);
    const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-board-'));
    const board = new SmallBoard(await NetNamespace.make(), folder);
    try {
      await board.#makeDisk(spec);
      await board.#start();
      return board;
    } catch (error) {
      await board.remove();
      throw error;
    }
  }

  /** A shell's line on it, to its end. */
  async run(line: string): Promise<Finished> {
    const url = `http://${SmallBoard.address}:${CONTROL_PORT}`;
    const spec = { command: 'curl', args: ['--silent', '--fail', '--data-binary', '@-', url] };
    const { stdout } = await runChecked(this.net.inside({ ...spec, input: line }), TIMEOUT_MS);
    return JSON.parse(stdout) as Finished;
  }

  /** As `run`; rejects with what was said where it fails. */
  async check(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(line);
    if (code !== 0) throw new Error(`${line} ended with ${code}: ${stdout}\n${stderr}`);
    return stdout;
  }

  /** A process of this machine on the board's network. */
  outsider(spec: ProcessSpec): Promise<Finished> {
    return runChecked(this.net.inside(spec), TIMEOUT_MS);
  }

  async remove(): Promise<void> {
    await this.#kernel?.kill();
    await this.net.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get #disk(): string {
    return path.join(this.#folder, 'disk.img');
  }

  async #makeDisk(spec: BoardSpec): Promise<void> {
    const cell = await DebianCell.make({ suite: spec.suite, include: SYSTEM });
    try {
      writeFileSync(cell.path('tmp/gatelog.deb'), spec.deb);
      await cell.check(['dpkg', '--force-unsafe-io', '--install', '/tmp/gatelog.deb'], TIMEOUT_MS);
      rmSync(cell.path('tmp/gatelog.deb'));
      furnish((file) => cell.path(file), spec);
      await runChecked({ command: 'truncate', args: ['--size', String(DISK_BYTES), this.#disk] });
      const args = ['-q', '-d', cell.folder, this.#disk];
      await runChecked({ command: 'mkfs.ext4', args }, TIMEOUT_MS);
    } finally {
      await cell.remove();
    }
  }

  async #start(): Promise<void> {
    await this.net.run('ip', 'tuntap', 'add', 'board', 'mode', 'tap');
    await this.net.run('ip', 'addr', 'add', `${SmallBoard.outside}/24`, 'dev', 'board');
    await this.net.run('ip', 'link', 'set', 'board', 'up');
    const kernel = [
      toolFile('linux.uml'),
      `mem=${MEMORY}`,
      `ubd0=${this.#disk}`,
      'root=/dev/ubda',
      'rw',
      'vec0:transport=tap,ifname=board,depth=128,gro=1',
      'con=null',
      'con0=null,fd:1',
      'quiet',
    ];
    // What it starts ends with it.
    const args = ['--pid', '--fork', '--kill-child', '--mount-proc', ...kernel];
    this.#kernel = await this.net.start({ command: 'unshare', args });
    const url = `http://${SmallBoard.address}:${CONTROL_PORT}`;
    const wait = ['--retry', String(BOOT_SECONDS), '--retry-delay', '1', '--retry-all-errors'];
    await this.outsider({
      command: 'curl',
      args: ['--silent', '--connect-timeout', '1', ...wait, '--data', 'true', url],
    });
    await this.check('systemctl is-active --wait gatelog || systemctl start gatelog');
  }
}

const CONTROL = `[Service]
ExecStartPre=/usr/sbin/ip addr add ${SmallBoard.address}/24 dev vec0
ExecStartPre=/usr/sbin/ip link set vec0 up
ExecStart=/usr/lib/gatelog/node_modules/.bin/node /opt/control.mjs
`;

/** What is on its disk beside the package. */
function furnish(place: (file: string) => string, spec: BoardSpec): void {
  const put = (file: string, text: string): void => {
    mkdirSync(path.dirname(place(file)), { recursive: true });
    writeFileSync(place(file), text);
  };
  const wanted = (target: string, unit: string): void => {
    mkdirSync(place(`${UNITS}/${target}.wants`), { recursive: true });
    symlinkSync(`/${UNITS}/${unit}`, place(`${UNITS}/${target}.wants/${unit}`));
  };
  put('etc/gatelog/gatelog.yaml', spec.config);
  put(`${UNITS}/gatelog.service.d/test.conf`, `[Service]\n${spec.dropIn.join('\n')}\n`);
  copyFileSync(path.join(import.meta.dirname, 'control.mjs'), place('opt/control.mjs'));
  put(`${UNITS}/control.service`, CONTROL);
  wanted('multi-user.target', 'control.service');
  for (const port of spec.ports) {
    put(`${UNITS}/way-${port}.socket`, `[Socket]\nListenStream=127.0.0.1:${port}\n`);
    const to = `/usr/lib/systemd/systemd-socket-proxyd ${SmallBoard.outside}:${port}`;
    put(`${UNITS}/way-${port}.service`, `[Service]\nExecStart=${to}\n`);
    wanted('sockets.target', `way-${port}.socket`);
  }
}
