import { GatelogError } from '../../errors.ts';

/** Where a broker listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export function addressName({ host, port }: Address): string {
  return `${host}:${port}`;
}

export function isSameAddress(one: Address, other: Address): boolean {
  return one.host === other.host && one.port === other.port;
}

/** Each once, in order. */
export function distinct(addresses: readonly Address[]): Address[] {
  return [...new Map(addresses.map((one) => [addressName(one), one])).values()];
}

/** `host:port`, with brackets around an IPv6 address. */
export function parseAddress(text: string): Address {
  const parts = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]+)):(?<port>\d+)$/u.exec(text);
  const host = parts?.groups?.['v6'] ?? parts?.groups?.['host'];
  const port = Number(parts?.groups?.['port']);
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `A Kafka broker is given as host:port, for example kafka.example.org:9092; got '${text}'`,
    );
  }
  return { host, port };
}
