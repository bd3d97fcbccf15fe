import { z } from 'zod';
import { ACCESS_LIMITS } from '../access-limits.ts';
import { DAY_MS } from '../units.ts';
import { duration, flag, leaf, listOf, oneOf, section, text } from './config-leaves.ts';
import type { JwtConfig, TokenAlgorithm } from './config-types.ts';
import { isLoopback } from './listen-address.ts';

/** The part of the schema that says which tokens are taken for passwords. */
const SIGNED = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA'] as const),
] satisfies readonly TokenAlgorithm[];
const SHARED = ['HS256', 'HS384', 'HS512'] satisfies readonly TokenAlgorithm[];

const KEYS_EXPECTED =
  'the path of a public key in PEM form or of a JWKS, or the https URL of one (http on loopback), without ${file:}';
const SECOND = 1000;
const MINUTE = 60 * SECOND;

export const jwtSection: z.ZodType<JwtConfig> = section({
  keys: leaf(KEYS_EXPECTED, keysPlace).optional(),
  secret: text(
    `a secret of at least ${ACCESS_LIMITS.tokenSecretBytes} bytes`,
    (value) => Buffer.byteLength(value) >= ACCESS_LIMITS.tokenSecretBytes,
  ).optional(),
  algorithms: listOf(oneOf([...SIGNED, ...SHARED]), '[ES256]').optional(),
  user: text('the name of a claim').default('sub'),
  roles: text('the name of a claim').optional(),
  issuer: text('the issuer of tokens').optional(),
  audience: text('the audience of tokens').optional(),
  tolerance: duration({ min: 0, max: 5 * MINUTE }, 'from 0ms to 5m, such as 30s').default(
    30 * SECOND,
  ),
  endWithToken: flag().default(true),
  refresh: duration({ min: MINUTE, max: DAY_MS }, 'from 1m to 1d, such as 10m').default(
    10 * MINUTE,
  ),
  keep: duration({ min: MINUTE, max: 365 * DAY_MS }, 'from 1m to 365d, such as 7d').default(
    7 * DAY_MS,
  ),
}).transform((jwt, context) => {
  const complain = (at: string, message: string, found: string): void => {
    const params = { found };
    context.issues.push({ code: 'custom', message, path: [at], input: undefined, params });
  };
  const { keys, secret } = jwt;
  if (keys === undefined && secret === undefined) complain('keys', 'keys or secret', 'neither');
  const usual = [...(keys === undefined ? [] : SIGNED), ...(secret === undefined ? [] : SHARED)];
  const algorithms: readonly TokenAlgorithm[] = jwt.algorithms ?? usual;
  const strange = algorithms.find((one) => !usual.some((known) => known === one));
  if (algorithms.length === 0) complain('algorithms', 'at least one', 'an empty list');
  if (strange !== undefined) {
    const needed = SHARED.some((shared) => shared === strange) ? 'secret' : 'keys';
    complain('algorithms', `${needed} beside ${strange}`, 'none');
  }
  return {
    keys: keysOf(jwt),
    secret,
    algorithms,
    userClaim: jwt.user,
    rolesClaim: jwt.roles,
    issuer: jwt.issuer,
    audience: jwt.audience,
    toleranceMs: jwt.tolerance,
    endWithToken: jwt.endWithToken,
  };
});

function keysOf({
  keys,
  refresh,
  keep,
}: {
  readonly keys?: string | undefined;
  readonly refresh: number;
  readonly keep: number;
}): JwtConfig['keys'] {
  if (keys === undefined) return undefined;
  if (!isUrl(keys)) return { kind: 'file', file: keys };
  return { kind: 'url', url: keys, refreshMs: refresh, keepMs: keep };
}

export function isUrl(keys: string): boolean {
  return /^[a-z]+:\/\//iu.test(keys);
}

/** Whoever changes what a URL gives can log in as anybody. */
function keysPlace(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || /-----BEGIN|^\s*\{/u.test(value)) {
    return undefined;
  }
  if (!isUrl(value)) return value;
  const url = URL.parse(value);
  if (url === null || url.username !== '' || url.password !== '') return undefined;
  const host = url.hostname.replace(/^\[(.*)\]$/u, '$1');
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(host));
  return isSafe ? value : undefined;
}
