import { messageOf, systemCodeOf } from '../errors.ts';
import type { ListenAddress } from './listen-address.ts';

/** Why an address can't be listened on, and what to do. */
export function listenTrouble(
  error: unknown,
  { kind, port, path }: Pick<ListenAddress, 'kind' | 'port' | 'path'>,
): string {
  switch (systemCodeOf(error)) {
    case 'EADDRINUSE':
      return kind === 'unix'
        ? `another program listens on ${path} (EADDRINUSE): stop it, or take another path`
        : `something listens there already, such as Mosquitto or another gatelog (EADDRINUSE; ss -ltnp 'sport = :${port}' says what): stop it, or take another port`;
    case 'EACCES':
      // The library beneath Node makes one code of both.
      if (kind === 'unix') return `the folder of ${path} does not exist, or may not be written`;
      return `this user may not listen on port ${port} (EACCES; below 1024 only root may): take another one, such as 1883 or 9001`;
    case 'EADDRNOTAVAIL':
      return 'no network interface of this machine has that address (EADDRNOTAVAIL): take 0.0.0.0, or one of ip addr';
    case undefined:
    default:
      return messageOf(error);
  }
}
