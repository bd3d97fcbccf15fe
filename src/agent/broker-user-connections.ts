interface Named {
  readonly id: string;
}

/**
 * Connections of each user. One under a client id that is connected already takes the old one's place,
 * so it is not counted again: a device must be able to come back before its old connection is found dead.
 */
export class UserConnections {
  readonly #most: number;
  readonly #byUser = new Map<string, Set<Named>>();

  constructor(most: number | undefined) {
    this.#most = most ?? Infinity;
  }

  /** False: the user has as many as it may. */
  admits(user: string | undefined, client: Named): boolean {
    if (user === undefined || this.#most === Infinity) return true;
    const clients = this.#byUser.get(user) ?? new Set();
    const others = [...clients].filter(({ id }) => id !== client.id);
    if (new Set(others.map(({ id }) => id)).size >= this.#most) return false;
    clients.add(client);
    this.#byUser.set(user, clients);
    return true;
  }

  left(user: string | undefined, client: Named): void {
    if (user === undefined) return;
    const clients = this.#byUser.get(user);
    clients?.delete(client);
    if (clients?.size === 0) this.#byUser.delete(user);
  }
}
