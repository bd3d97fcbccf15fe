/** A device or program that is connected at present. Texts are the client's own, shortened. */
export interface ClientStatus {
  readonly client: string;
  /** null: it gave no name, and needed none. */
  readonly user: string | null;
  /** Its address; null: it came over a Unix socket. */
  readonly from: string | null;
  readonly protocol: '3.1' | '3.1.1' | '5';
  /** ISO 8601 in UTC, by this machine's clock. */
  readonly since: string;
  /** Its session outlives the connection. */
  readonly lasting: boolean;
}

/** Those that there is room for, in the order in which they came, and how many there are. */
export interface ClientList {
  readonly total: number;
  readonly clients: readonly ClientStatus[];
}
