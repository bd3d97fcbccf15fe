import { LINK_LIMITS } from '../../link-limits.ts';
import type { Clock } from '../../time.ts';
import type { Network } from './network.ts';
import { interfaceTo } from './route-table.ts';
import type { ConnectionEnds } from './wire-meter.ts';

export interface MeteredRule {
  /** Names of interfaces that cost, `*` standing for any run of characters. */
  readonly interfaces: readonly string[];
  /** Ask NetworkManager as well. */
  readonly networkManager: boolean;
  readonly action: MeteredAction;
}

/** `sample`: alarms only, and of the topics that are sampled their sample. */
export type MeteredAction =
  | 'pause'
  | 'alarms-only'
  | 'sample'
  | { readonly capBitsPerSecond: number };

/** The way to the far side, and whether it costs. */
export interface Way {
  /** undefined: no way is known. */
  readonly device: string | undefined;
  readonly isMetered: boolean;
  readonly by: 'name' | 'NetworkManager' | undefined;
}

const NO_WAY: Way = { device: undefined, isMetered: false, by: undefined };

/**
 * Whether the way to the far side is metered: by the interface that the open connections have, and
 * while there are none by the one that a connection would have: as the kernel says of the far side met
 * last, else as the routing table gives it. It counts as metered at once, and as
 * free only when it was free for a while.
 */
export class MeteredWatch {
  readonly #rule: MeteredRule;
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #patterns: readonly RegExp[];
  /** What NetworkManager said of an interface, and when it was asked. */
  readonly #said = new Map<
    string,
    { readonly metered: boolean | undefined; readonly atMs: number }
  >();
  #way: Way = NO_WAY;
  #meteredAtMs = Number.NEGATIVE_INFINITY;
  #remote: string | undefined;
  #looking: Promise<void> | undefined;

  constructor(rule: MeteredRule, network: Network, clock: Clock) {
    this.#rule = rule;
    this.#network = network;
    this.#clock = clock;
    this.#patterns = rule.interfaces.map(
      (name) => new RegExp(`^${name.split('*').map(escaped).join('.*')}$`, 'u'),
    );
  }

  get way(): Way {
    return this.#way;
  }

  /** A connection stands: its interface counts before anything is sent over it. */
  connected({ localAddress, remoteAddress }: ConnectionEnds): void {
    this.#remote = remoteAddress;
    const device = this.#network.interfaceOf(localAddress);
    if (device !== undefined) this.#take(device);
  }

  /** Never rejects. */
  look(ends: readonly ConnectionEnds[]): Promise<void> {
    this.#looking ??= this.#look(ends).finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(ends: readonly ConnectionEnds[]): Promise<void> {
    const used = ends.flatMap(({ localAddress }) => {
      const device = this.#network.interfaceOf(localAddress);
      return device === undefined ? [] : [device];
    });
    const devices = used.length > 0 ? [...new Set(used)] : await this.#routed();
    for (const device of devices) await this.#ask(device);
    const costly = devices.find((device) => this.#costs(device) !== undefined) ?? devices[0];
    if (costly === undefined) this.#settle(NO_WAY);
    else this.#take(costly);
  }

  async #routed(): Promise<string[]> {
    const device = (await this.#deviceToRemote()) ?? (await this.#deviceByTable());
    return device === undefined ? [] : [device];
  }

  /** What a connection would take, which the tables do not tell of this machine's own addresses. */
  async #deviceToRemote(): Promise<string | undefined> {
    if (this.#remote === undefined) return undefined;
    const local = await this.#network.localAddressTo(this.#remote);
    return local === undefined ? undefined : this.#network.interfaceOf(local);
  }

  async #deviceByTable(): Promise<string | undefined> {
    return interfaceTo(this.#remote, await this.#network.routes());
  }

  async #ask(device: string): Promise<void> {
    if (!this.#rule.networkManager || this.#isNamed(device)) return;
    const nowMs = this.#clock.monotonicMs();
    const said = this.#said.get(device);
    if (said !== undefined && nowMs - said.atMs < LINK_LIMITS.meteredAskMs) return;
    this.#said.set(device, { metered: await this.#network.askMetered(device), atMs: nowMs });
  }

  #take(device: string): void {
    const by = this.#costs(device);
    this.#settle({ device, isMetered: by !== undefined, by });
  }

  #settle(way: Way): void {
    const nowMs = this.#clock.monotonicMs();
    if (way.isMetered) this.#meteredAtMs = nowMs;
    const isHeld = this.#way.isMetered && !way.isMetered;
    if (isHeld && nowMs - this.#meteredAtMs < LINK_LIMITS.meteredReleaseMs) return;
    this.#way = way;
  }

  #costs(device: string): Way['by'] {
    if (this.#isNamed(device)) return 'name';
    return this.#said.get(device)?.metered === true ? 'NetworkManager' : undefined;
  }

  #isNamed(device: string): boolean {
    return this.#patterns.some((pattern) => pattern.test(device));
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/-]/gu, '\\$&');
}
