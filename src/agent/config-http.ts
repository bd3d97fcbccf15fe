import { z } from 'zod';
import { HTTP_LIMITS } from '../http-limits.ts';
import { flag, leaf, listOf, oneOf, section, text } from './config-leaves.ts';
import { completeTls, pemPath } from './config-listen.ts';
import type { HttpConfig } from './config-types.ts';
import { HTTP_ADDRESS_EXPECTED, HTTP_PORT, parseHttpAddress } from './http-address.ts';

/** The part of the schema that says where the HTTP side is, and who may have it. */
const address = text(HTTP_ADDRESS_EXPECTED, (url) => parseHttpAddress(url) !== undefined);

const token = text(
  `a token of ${HTTP_LIMITS.tokenChars} to ${HTTP_LIMITS.tokenCharsMax} printable characters without blanks, such as openssl rand -hex 32 gives`,
  (value) =>
    value.length >= HTTP_LIMITS.tokenChars &&
    value.length <= HTTP_LIMITS.tokenCharsMax &&
    /^[\x21-\x7e]+$/u.test(value),
);

const hostName = text('a name without a port, such as gateway-7.example.com', (value) =>
  /^(?!-)[A-Za-z0-9.-]{1,253}$/u.test(value),
);

const tlsSection = section({
  cert: pemPath,
  key: pemPath,
  passphrase: text('a passphrase').optional(),
  minVersion: oneOf(['TLSv1.2', 'TLSv1.3']).optional(),
});

const OFF = leaf('false or a map of options', (value) =>
  value === false || value === 'false' || value === 'off' ? false : undefined,
);

const options = section({
  listen: listOf(address, `["http://127.0.0.1:${HTTP_PORT}"]`).default([
    `http://127.0.0.1:${HTTP_PORT}`,
  ]),
  token: token.optional(),
  adminToken: token.optional(),
  hosts: z.array(hostName).max(HTTP_LIMITS.hosts).default([]),
  allowPlain: flag().default(false),
  tls: tlsSection.optional(),
});

export const httpSection: z.ZodType<HttpConfig> = z
  .union([OFF, options])
  .transform((value): HttpConfig => {
    if (value === false) return NO_HTTP;
    const { token: read, adminToken, tls, ...rest } = value;
    return { ...rest, token: read, adminToken, tls: completeTls(tls) };
  });

export const NO_HTTP: HttpConfig = {
  listen: [],
  token: undefined,
  adminToken: undefined,
  hosts: [],
  allowPlain: false,
  tls: undefined,
};
