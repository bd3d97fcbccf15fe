import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { copyOfDebian, type DebianSpec, removeCopy } from './debian-root.ts';
import { type Finished, type Running, runChecked, runProcess, startProcess } from './process.ts';

/** The service manager, and what the unit's own test asks of it. */
const SYSTEMD: readonly string[] = ['systemd', 'systemd-sysv', 'dbus'];
const BOOT_LIMIT_MS = 60_000;

export interface BootOptions extends DebianSpec {
  /** Folders of this machine, by where they are found inside. */
  readonly binds?: Readonly<Record<string, string>>;
  /** The same, not to be written to. */
  readonly readOnlyBinds?: Readonly<Record<string, string>>;
  /** A loopback of its own: what listens inside is in nobody's way, and reached from inside only. */
  readonly ownNetwork?: boolean;
}

/**
 * A Debian with a systemd of its own (systemd-nspawn --boot), on this machine's network: what listens inside is
 * reached at the same port. Wants root.
 */
export class BootedDebian {
  readonly folder: string;
  readonly #options: BootOptions;
  #container: Running | undefined;

  private constructor(folder: string, options: BootOptions) {
    this.folder = folder;
    this.#options = options;
  }

  /** Not booted yet. */
  static async make(options: BootOptions): Promise<BootedDebian> {
    const include = [...SYSTEMD, ...(options.include ?? [])];
    return new BootedDebian(await copyOfDebian({ ...options, include }), options);
  }

  async boot(): Promise<void> {
    const { binds = {}, readOnlyBinds = {}, ownNetwork = false } = this.#options;
    const args = [
      '--quiet',
      '--boot',
      '--register=no',
      '--keep-unit',
      `--directory=${this.folder}`,
      `--machine=gatelog-${path.basename(path.dirname(this.folder))}`,
      '--console=pipe',
      '--link-journal=no',
      '--resolv-conf=off',
      '--timezone=off',
      ...(ownNetwork ? ['--private-network'] : []),
      ...Object.entries(binds).map(([inside, outside]) => `--bind=${outside}:${inside}`),
      ...Object.entries(readOnlyBinds).map(([inside, outside]) => `--bind-ro=${outside}:${inside}`),
    ];
    // It powers off in good order when the test ends without it.
    const orphanSignal = 'SIGTERM';
    // systemd from 256 on wants that said where the machine's groups are those of version 1.
    args.push('SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1');
    this.#container = await startProcess({ command: 'systemd-nspawn', args, orphanSignal });
    await this.#isUp();
  }

  /** Runs a command inside to its end, whatever its exit code; while nothing is booted it fails. */
  run(args: readonly string[], timeoutMs?: number): Promise<Finished> {
    return runProcess(this.#inside(args), timeoutMs);
  }

  /** As `run`; an exit code other than 0 rejects with what the command said. */
  check(args: readonly string[], timeoutMs?: number): Promise<Finished> {
    return runChecked(this.#inside(args), timeoutMs);
  }

  /** `systemctl reboot`. Returns when it is up again. */
  async reboot(): Promise<void> {
    const before = this.#leader();
    await this.run(['systemctl', 'reboot']);
    // Where systemd-nspawn can't clear up behind itself it ends instead of beginning anew.
    await this.#until('another boot or an end', () => {
      const now = this.#leader();
      return Promise.resolve(
        this.#container?.ended === true || (now !== undefined && now !== before),
      );
    });
    if (this.#container?.ended === true) await this.boot();
    else await this.#isUp();
  }

  /** Of a unit, as `systemctl show` tells. */
  async property(unit: string, name: string): Promise<string> {
    const args = ['systemctl', 'show', '--property', name, '--value', unit];
    return (await this.check(args)).stdout.trim();
  }

  async journal(unit: string): Promise<string> {
    const args = ['journalctl', '--no-pager', '--output=short-precise', '--unit', unit];
    return (await this.check(args)).stdout;
  }

  /** Where a file of the inside lies outside. */
  path(inside: string): string {
    return path.join(this.folder, inside);
  }

  async remove(): Promise<void> {
    if (this.#container !== undefined && !this.#container.ended) {
      await this.run(['systemctl', 'poweroff', '--force']).catch(() => {});
      await this.#container.stop(20_000);
    }
    removeCopy(this.folder);
  }

  async #isUp(): Promise<void> {
    await this.#until('running or degraded', async () => {
      if (this.#container?.ended === true) throw new Error(`it ended: ${this.#said()}`);
      const { stdout } = await this.run(['systemctl', 'is-system-running', '--wait']);
      return /^(?:running|degraded)$/mu.test(stdout);
    });
  }

  /** The container's first process. */
  #leader(): number | undefined {
    const pid = this.#container?.pid ?? 0;
    const file = `/proc/${pid}/task/${pid}/children`;
    if (!existsSync(file)) return undefined;
    const children = readFileSync(file, 'utf8').trim().split(' ').filter(Boolean).map(Number);
    return children.find((child) => /^systemd$|^init$/mu.test(nameOf(child)));
  }

  #inside(args: readonly string[]): { command: string; args: readonly string[] } {
    const leader = this.#leader() ?? 0;
    const network = this.#options.ownNetwork === true ? ['--net'] : [];
    const into = ['--mount', '--pid', '--uts', '--ipc', '--cgroup', ...network, '--root'];
    const env = ['env', '--chdir=/', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8'];
    return { command: 'nsenter', args: [`--target=${leader}`, ...into, ...env, ...args] };
  }

  async #until(what: string, reached: () => Promise<boolean>): Promise<void> {
    const endsMs = performance.now() + BOOT_LIMIT_MS;
    while (!(await reached())) {
      if (performance.now() > endsMs) throw new Error(`waited for ${what}: ${this.#said()}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  #said(): string {
    return `${this.#container?.stdout() ?? ''}\n${this.#container?.stderr() ?? ''}`.slice(-4000);
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
