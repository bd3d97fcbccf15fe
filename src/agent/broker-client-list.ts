import type { ClientList, ClientStatus } from '../admin/client-status.ts';
import { type Clock, isoTime } from '../time.ts';
import type { AedesClient } from './broker-aedes.ts';
import type { DeviceStream } from './broker-door.ts';
import { shortened } from './refusal-line.ts';

const PROTOCOLS: Readonly<Record<number, ClientStatus['protocol']>> = {
  3: '3.1',
  4: '3.1.1',
  5: '5',
};

/** Who is connected at present: looked up when somebody asks, for nobody does for long times. */
export class Clients {
  readonly #clock: Clock;
  readonly #userOf: (client: object) => string | undefined;
  readonly #since = new WeakMap<AedesClient, number>();

  constructor(clock: Clock, userOf: (client: object) => string | undefined) {
    this.#clock = clock;
    this.#userOf = userOf;
  }

  entered(client: AedesClient): void {
    this.#since.set(client, this.#clock.nowMs());
  }

  /** Those that have logged in. */
  list(connected: Iterable<AedesClient>, atMost: number): ClientList {
    const clients: ClientStatus[] = [];
    let total = 0;
    for (const client of connected) {
      if (!client.connected) continue;
      total++;
      if (clients.length < atMost) clients.push(this.#statusOf(client));
    }
    return { total, clients };
  }

  #statusOf(client: AedesClient): ClientStatus {
    const { version, clean, sessionExpiryInterval } = client;
    return {
      client: shortened(client.id),
      user: shortened(this.#userOf(client)) ?? null,
      from: (client.conn as DeviceStream).remoteAddress ?? null,
      protocol: PROTOCOLS[version ?? 4] ?? '3.1.1',
      since: isoTime(this.#since.get(client) ?? this.#clock.nowMs()),
      lasting: version === 5 ? sessionExpiryInterval > 0 : !clean,
    };
  }
}
