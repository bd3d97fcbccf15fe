import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { GatelogError, messageOf } from '../errors.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import { reasonOf } from './config-document.ts';
import type { ServerTls } from './config-types.ts';

/**
 * Key exchange with forward secrecy and authenticated encryption only: TLS 1.3 whole, and of TLS 1.2
 * what Mozilla calls intermediate, less finite-field Diffie-Hellman.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

const PEM = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]+?-----END [A-Z0-9 ]+-----/gu;

/** What stands in the files of a server's certificate, found to be usable. */
export interface ServerCertificate {
  readonly options: SecureContextOptions;
  /** When the first of the certificates to be shown is good no longer. */
  readonly expiresMs: number;
}

/** Texts of the files, to tell whether they changed. */
export interface PemTexts {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
}

/** Throws LISTEN_FAILED, naming the file. */
export async function readPems({ cert, key, ca }: ServerTls): Promise<PemTexts> {
  return {
    cert: await readPem(cert),
    key: await readPem(key),
    ca: ca === undefined ? undefined : await readPem(ca),
  };
}

/** Throws LISTEN_FAILED, naming the file and what is wrong with it. */
export function serverCertificate(tls: ServerTls, pems: PemTexts): ServerCertificate {
  const chain = certificatesIn(tls.cert, pems.cert);
  const key = keyOf(tls, pems.key);
  if (chain[0]?.checkPrivateKey(key) === false) {
    refuse(tls.key, `is not the key of the certificate in ${tls.cert}`);
  }
  if (tls.ca !== undefined && pems.ca !== undefined) certificatesIn(tls.ca, pems.ca);
  const options: SecureContextOptions = {
    cert: pems.cert,
    key: pems.key,
    passphrase: tls.passphrase,
    ca: pems.ca,
    minVersion: tls.minVersion,
    ciphers: CIPHERS,
  };
  try {
    createSecureContext(options);
  } catch (error) {
    refuse(tls.cert, `can't be used: ${messageOf(error)}`);
  }
  const expiresMs = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()));
  return { options, expiresMs };
}

async function readPem(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    refuse(file, `can't be read: ${reasonOf(error)}`);
  }
  if (text.length > LISTEN_LIMITS.certificateBytes) refuse(file, 'is too large to be a PEM file');
  return text;
}

function certificatesIn(file: string, pem: string): X509Certificate[] {
  const blocks = pem.match(PEM) ?? [];
  if (blocks.length === 0) refuse(file, 'holds no certificate in PEM form');
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      return refuse(file, `holds a certificate that can't be read: ${messageOf(error)}`);
    }
  });
}

function keyOf({ key: file, passphrase }: ServerTls, pem: string): KeyObject {
  try {
    return createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase });
  } catch (error) {
    return refuse(file, `holds no private key that can be used: ${messageOf(error)}`);
  }
}

function refuse(file: string, why: string): never {
  throw new GatelogError('LISTEN_FAILED', `${file} ${why}`);
}
