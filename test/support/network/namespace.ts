import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Finished,
  type ProcessSpec,
  type Running,
  runChecked,
  startProcess,
} from '../process.ts';

/** What keeps a namespace while others come and go. */
const HOLDER = ['sh', '-c', 'echo made; exec sleep 100000'];
const NOT_ALLOWED =
  'this test needs a network of its own, and the system gives none: run it as root, or let users have namespaces (sysctl user.max_user_namespaces above 0; on Debian kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0)';

/**
 * A network of its own, with nothing in it but loopback and one interface that leads to nobody, to be cut as a
 * real one is: packets that vanish, addresses that go and come, a resolver of the test's. Anybody may
 * make one where the kernel lets users have namespaces; root always.
 */
export class NetNamespace {
  /** Of the interface `uplink`; whatever runs in here is reached under it, too. */
  static readonly address = '10.213.0.1';
  /** Another one there, for a far side. */
  static readonly farAddress = '10.213.0.2';
  readonly #holder: Running;
  readonly #folder: string;
  readonly #started: Running[] = [];

  private constructor(holder: Running, folder: string) {
    this.#holder = holder;
    this.#folder = folder;
  }

  static async make(): Promise<NetNamespace> {
    const user = isRoot() ? [] : ['--user', '--map-root-user'];
    const holder = await startProcess({
      command: 'unshare',
      args: [...user, '--net', '--mount', ...HOLDER],
    });
    try {
      await holder.waitFor(/made/u);
    } catch (error) {
      throw new Error(NOT_ALLOWED, { cause: error });
    }
    const folder = mkdtempSync(join(tmpdir(), 'gatelog-net-'));
    const made = new NetNamespace(holder, folder);
    await made.#prepare();
    return made;
  }

  /** As it is to be run in here. */
  inside<T extends ProcessSpec>(spec: T): T {
    return insideOf(this.#holder, spec);
  }

  /**
   * A process in a second network, of the same owner, with nothing in it but loopback; ends with this one.
   * What leads there is to be made.
   */
  async neighbour(): Promise<Running> {
    const holder = await this.start({ command: 'unshare', args: ['--net', ...HOLDER] });
    await holder.waitFor(/made/u);
    return holder;
  }

  run(command: string, ...args: string[]): Promise<Finished> {
    return runChecked(this.inside({ command, args }));
  }

  async start(spec: ProcessSpec): Promise<Running> {
    const running = await startProcess(this.inside(spec));
    this.#started.push(running);
    return running;
  }

  /** Whom the resolver asks; in the place of what stood there. */
  setResolver(address: string): void {
    writeFileSync(this.#resolvers, `nameserver ${address}\noptions timeout:1 attempts:1\n`);
  }

  /** Packets that match (nft(8), such as `tcp dport 1883`) vanish: no FIN, no RST, no ICMP. */
  async swallow(...matches: string[]): Promise<void> {
    for (const match of matches) {
      await this.run('nft', `add rule inet lies input ${match} drop`);
    }
  }

  /** The same for what is sent from here. */
  async swallowSent(...matches: string[]): Promise<void> {
    for (const match of matches) {
      await this.run('nft', `add rule inet lies postrouting ${match} drop`);
    }
  }

  async swallowNothing(): Promise<void> {
    await this.run('nft', 'flush table inet lies');
  }

  /** Its addresses and its route come, or go. */
  async setUplink(state: 'up' | 'down'): Promise<void> {
    if (state === 'down') {
      await this.run('ip', 'addr', 'flush', 'dev', 'uplink');
      return;
    }
    const { address, farAddress } = NetNamespace;
    await this.run('ip', 'addr', 'add', `${address}/24`, 'dev', 'uplink');
    await this.run('ip', 'addr', 'add', `${farAddress}/24`, 'dev', 'uplink');
    await this.run('ip', 'route', 'replace', 'default', 'dev', 'uplink');
  }

  async remove(): Promise<void> {
    for (const running of this.#started.toReversed()) await running.kill();
    await this.#holder.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get #resolvers(): string {
    return join(this.#folder, 'resolv.conf');
  }

  async #prepare(): Promise<void> {
    this.setResolver(NetNamespace.farAddress);
    await this.run('mount', '--bind', this.#resolvers, '/etc/resolv.conf');
    await this.run('ip', 'link', 'set', 'lo', 'up');
    const peer = ['type', 'veth', 'peer', 'name', 'nobody'];
    await this.run('ip', 'link', 'add', 'uplink', ...peer);
    await this.run('ip', 'link', 'set', 'nobody', 'up');
    await this.run('ip', 'link', 'set', 'uplink', 'up');
    await this.setUplink('up');
    await this.run('nft', 'add table inet lies');
    // Not `output`: where addresses are translated that still takes loopback for the way.
    for (const way of ['input', 'postrouting']) {
      await this.run('nft', `add chain inet lies ${way} { type filter hook ${way} priority 0 ; }`);
    }
  }
}

/** As it is to be run in the network of another process. */
export function insideOf<T extends ProcessSpec>(holder: Running, spec: T): T {
  const user = isRoot() ? [] : ['--user', '--preserve-credentials'];
  const into = ['--target', String(holder.pid), ...user, '--net', '--mount', '--wd=.'];
  return { ...spec, command: 'nsenter', args: [...into, spec.command, ...(spec.args ?? [])] };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
