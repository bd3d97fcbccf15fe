import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runChecked } from '../process.ts';

/** PEM files for one run: a CA, a server certificate for loopback, a client certificate. */
export interface Certificates {
  readonly ca: string;
  /** Key and chain in one file, as Kafka's PEM key store wants them. */
  readonly server: string;
  readonly clientKey: string;
  readonly clientCertificate: string;
  /** A client certificate of a CA that nobody trusts. */
  readonly strangerKey: string;
  readonly strangerCertificate: string;
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

async function openssl(folder: string, args: readonly string[]): Promise<void> {
  await runChecked({ command: 'openssl', args, cwd: folder }, 30_000);
}

async function makeCa(folder: string, name: string): Promise<void> {
  const subject = ['-subj', `/CN=gatelog test ${name}`, '-days', '30'];
  await openssl(folder, [
    'req',
    '-x509',
    ...EC,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
    ...subject,
  ]);
}

async function makeSigned(
  folder: string,
  ca: string,
  name: string,
  extensions: string,
): Promise<void> {
  writeFileSync(join(folder, `${name}.ext`), extensions);
  const request = ['-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`];
  await openssl(folder, ['req', ...EC, ...request]);
  const by = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '30'];
  const files = ['-in', `${name}.csr`, '-extfile', `${name}.ext`, '-out', `${name}.pem`];
  await openssl(folder, ['x509', '-req', ...by, ...files]);
}

const SERVER_EXTENSIONS =
  'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n';
const CLIENT_EXTENSIONS = 'extendedKeyUsage=clientAuth\n';

/** The client's CN is `user`, which the brokers map to the principal `User:<user>`. */
export async function makeCertificates(folder: string, user: string): Promise<Certificates> {
  mkdirSync(folder, { recursive: true });
  await makeCa(folder, 'ca');
  await makeCa(folder, 'stranger-ca');
  await makeSigned(folder, 'ca', 'server', SERVER_EXTENSIONS);
  await makeSigned(folder, 'ca', user, CLIENT_EXTENSIONS);
  await makeSigned(folder, 'stranger-ca', 'stranger', CLIENT_EXTENSIONS);
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const server = join(folder, 'server-keystore.pem');
  writeFileSync(server, text('server.key') + text('server.pem') + text('ca.pem'), { mode: 0o600 });
  return {
    ca: join(folder, 'ca.pem'),
    server,
    clientKey: join(folder, `${user}.key`),
    clientCertificate: join(folder, `${user}.pem`),
    strangerKey: join(folder, 'stranger.key'),
    strangerCertificate: join(folder, 'stranger.pem'),
  };
}
