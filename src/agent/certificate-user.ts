import { TLSSocket } from 'node:tls';
import type { DeviceStream } from './broker-door.ts';
import { userIn } from './token-text.ts';

/** Where in a device's certificate its user name stands. */
export type CertificateUser = 'cn' | 'san';

/**
 * The user name in the certificate that was checked in the handshake: the common name, or the first
 * alternative name of DNS, URI or e-mail. undefined: there is none that a user could have, or more than one common name.
 */
export function userOfCertificate(stream: DeviceStream, from: CertificateUser): string | undefined {
  const socket: unknown = stream.beneath ?? stream;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject, subjectaltname } = socket.getPeerCertificate();
  return userIn(from === 'san' ? firstAltName(subjectaltname ?? '') : subject?.CN);
}

/** Node puts names with commas or quotes in them into quotes; nobody is called like that. */
export function firstAltName(names: string): string | undefined {
  if (names.includes('"')) return undefined;
  return /(?:^|, )(?:DNS|URI|email):([^,]+)/u.exec(names)?.[1];
}
