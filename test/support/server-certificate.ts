import { join } from 'node:path';
import { runChecked } from './process.ts';

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const LOOPBACK = 'subjectAltName=DNS:localhost,IP:127.0.0.1';

export interface PemFiles {
  readonly cert: string;
  readonly key: string;
}

/** NAME.pem and NAME.key for loopback, signed by themselves: so `cert` is the CA, too. */
export async function makeServerCertificate(
  folder: string,
  name: string,
  days: number,
): Promise<PemFiles> {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  const out = ['-keyout', files.key, '-out', files.cert];
  const what = ['-subj', `/CN=${name}`, '-days', String(days), '-addext', LOOPBACK];
  const args = ['req', '-x509', ...EC, ...out, ...what];
  await runChecked({ command: 'openssl', args }, 30_000);
  return files;
}

/** A certificate NAME.pem for a device, signed by `by`. */
export async function makeDeviceCertificate(
  folder: string,
  name: string,
  by: PemFiles,
  altNames?: string,
  days: number = 9,
): Promise<PemFiles> {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  const request = join(folder, `${name}.csr`);
  const names = altNames === undefined ? [] : ['-addext', `subjectAltName=${altNames}`];
  const what = ['-subj', `/CN=${name}`, ...names];
  const ask = ['req', ...EC, '-keyout', files.key, '-out', request, ...what];
  await runChecked({ command: 'openssl', args: ask }, 30_000);
  const signed = ['x509', '-req', '-in', request, '-CA', by.cert, '-CAkey', by.key];
  const args = [
    ...signed,
    '-CAcreateserial',
    '-copy_extensions',
    'copy',
    '-days',
    String(days),
    '-out',
    files.cert,
  ];
  await runChecked({ command: 'openssl', args }, 30_000);
  return files;
}
