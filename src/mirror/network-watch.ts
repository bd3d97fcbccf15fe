import { readFile, stat } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { kernelText } from '../kernel-text.ts';
import { MIRROR_LIMITS } from '../mirror-limits.ts';
import { type Clock, type Timer, untilBeat } from '../time.ts';

/**
 * Tells mirrors that the way into the network changed (an address, a default route, a resolver), so
 * that nobody waits out a back-off before a link that is back, and nobody trusts a connection that
 * stood on the old one. Looks every second while somebody listens; that costs less than 1 ms.
 */
export class NetworkWatch {
  readonly #clock: Clock;
  readonly #look: () => Promise<Network>;
  readonly #listeners = new Set<() => void>();
  #last: string | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock, look: () => Promise<Network> = lookAtNetwork) {
    this.#clock = clock;
    this.#look = look;
  }

  /** `changed` is called soon after a way has come or another was taken; not when one has only gone. */
  subscribe(changed: () => void): () => void {
    this.#listeners.add(changed);
    if (this.#listeners.size === 1) void this.#check();
    return () => {
      this.#listeners.delete(changed);
      if (this.#listeners.size === 0) {
        this.#timer?.cancel();
        this.#timer = undefined;
        this.#last = undefined;
      }
    };
  }

  async #check(): Promise<void> {
    const { isUp, signature } = await this.#look();
    if (this.#listeners.size === 0) return;
    const isNews = this.#last !== undefined && this.#last !== signature;
    this.#last = signature;
    this.#timer?.cancel();
    const delayMs = untilBeat(this.#clock, MIRROR_LIMITS.networkLookMs);
    this.#timer = this.#clock.after(delayMs, () => void this.#check());
    if (isNews && isUp) for (const changed of this.#listeners) changed();
  }
}

export interface Network {
  /** There is an address besides loopback's. */
  readonly isUp: boolean;
  /** Another one is another way. */
  readonly signature: string;
}

/** Addresses, default routes and resolvers of this machine; what can't be read counts as empty. */
export async function lookAtNetwork(): Promise<Network> {
  const resolvers = await resolversFile.read();
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, entries]) =>
    (entries ?? [])
      .filter(({ internal }) => !internal)
      .map(({ address, netmask }) => `${name} ${address} ${netmask}`),
  );
  const parts = [
    ...addresses.toSorted(),
    ...defaultRoutes(kernelTable('/proc/net/route')).toSorted(),
    ...defaultRoutes6(kernelTable('/proc/net/ipv6_route')).toSorted(),
    resolvers,
  ];
  return { isUp: addresses.length > 0, signature: parts.join('\n') };
}

function kernelTable(file: string): string {
  return (kernelText(file) ?? '').slice(0, MIRROR_LIMITS.networkFileChars);
}

/** A small file that is read again when it is another, or was written: what wrote the same into it changed nothing. */
class WatchedText {
  readonly #file: string;
  #mark = '';
  #text = '';

  constructor(file: string) {
    this.#file = file;
  }

  async read(): Promise<string> {
    try {
      const { ino, size, mtimeMs } = await stat(this.#file);
      const mark = `${ino} ${size} ${mtimeMs}`;
      if (mark !== this.#mark) {
        this.#text = (await readFile(this.#file, 'utf8')).slice(0, MIRROR_LIMITS.networkFileChars);
        this.#mark = mark;
      }
    } catch {
      [this.#mark, this.#text] = ['', ''];
    }
    return this.#text;
  }
}

const resolversFile = new WatchedText('/etc/resolv.conf');

/** Interface and gateway; proc(5), `/proc/net/route`: destination and mask are zero. */
function defaultRoutes(table: string): string[] {
  return table.split('\n').flatMap((line) => {
    const [name = '', destination, gateway = '', , , , metric = '', mask] = line.split(/\s+/u);
    const isDefault = destination === '00000000' && mask === '00000000';
    return isDefault ? [`${name} ${gateway} ${metric}`] : [];
  });
}

/** Likewise, of a table whose counters change all the time (net/ipv6/route.c, rt6_info_route). */
function defaultRoutes6(table: string): string[] {
  return table.split('\n').flatMap((line) => {
    const [destination = '', length, , , hop = '', metric = '', , , , name = ''] =
      line.split(/\s+/u);
    const isDefault = /^0+$/u.test(destination) && length === '00' && name !== 'lo';
    return isDefault ? [`${name} ${hop} ${metric}`] : [];
  });
}
