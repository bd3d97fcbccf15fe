import type { AedesClient } from './broker-aedes.ts';
import type { Session } from './broker-session.ts';

export interface ClientIdsOptions {
  /** Anybody who may come in may take over any client id, as MQTT alone would have it. */
  readonly anyone: boolean;
  /** The user is certainly none any more, so what was its own is nobody's. */
  readonly isGone: (user: string) => boolean;
  readonly session: (clientId: string) => Session | undefined;
}

interface Holder {
  readonly user: string | undefined;
  /** While one takes over from another, and when one is refused yet, there are several. */
  readonly clients: AedesClient[];
}

/**
 * Whose client ids are: MQTT ends an older connection of the same client id [MQTT-3.1.4-3] and gives its
 * session to the new one, whoever that is. Here a client id belongs to the user that is connected with it, or
 * whose session it is; what nobody with a name has is free.
 */
export class ClientIds {
  readonly #options: ClientIdsOptions;
  /** From CONNECT on, so that of two that come at once one is the other's. */
  readonly #holders = new Map<string, Holder>();

  constructor(options: ClientIdsOptions) {
    this.#options = options;
  }

  /** False: it is another user's. */
  claim(client: AedesClient, user: string | undefined): boolean {
    const { anyone, isGone, session } = this.#options;
    const { id } = client;
    const known = this.#holders.get(id);
    const owner = known?.user ?? session(id)?.owner;
    if (!anyone && owner !== undefined && owner !== user && !isGone(owner)) return false;
    if (known !== undefined && known.user === user) known.clients.push(client);
    else this.#holders.set(id, { user, clients: [client] });
    return true;
  }

  /** Its connection has ended. It may be another user's by now, or never have been its own. */
  left(client: AedesClient): void {
    const clients = this.#holders.get(client.id)?.clients;
    const at = clients?.indexOf(client) ?? -1;
    if (clients === undefined || at < 0) return;
    clients.splice(at, 1);
    if (clients.length === 0) this.#holders.delete(client.id);
  }
}
