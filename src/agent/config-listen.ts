import { z } from 'zod';
import { LISTEN_EXPECTED } from './config-forms.ts';
import { flag, leaf, oneOf, section, text } from './config-leaves.ts';
import type { ListenConfig, ServerTls } from './config-types.ts';
import { isSecure, parseListen } from './listen-address.ts';

/** The part of the schema that says where devices connect to. */
const PEM_EXPECTED = 'the path of a PEM file';

/** Not its text: it is read again when it changes, for which one must know where it stands. */
export const pemPath: z.ZodType<string> = leaf(`${PEM_EXPECTED}, without \${file:}`, (value) =>
  typeof value === 'string' && value !== '' && !value.includes('-----BEGIN') ? value : undefined,
);

interface TlsSection {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: string | undefined;
  readonly ca?: string | undefined;
  readonly requireCertificate?: boolean | undefined;
  readonly user?: ServerTls['user'];
  readonly minVersion?: ServerTls['minVersion'] | undefined;
}

export const serverTlsSection: z.ZodType<TlsSection> = section({
  cert: pemPath.optional(),
  key: pemPath.optional(),
  passphrase: text('a passphrase').optional(),
  ca: pemPath.optional(),
  requireCertificate: flag().optional(),
  user: oneOf(['cn', 'san']).optional(),
  minVersion: oneOf(['TLSv1.2', 'TLSv1.3']).optional(),
});

interface ListenSection {
  readonly url: string;
  readonly allowAnonymous?: boolean | undefined;
  readonly tls?: TlsSection | undefined;
}

const address = text(LISTEN_EXPECTED, (value) => parseListen(value) !== undefined);

export const listenItem: z.ZodType<string | ListenSection> = z.union([
  address,
  section({ url: address, allowAnonymous: flag().optional(), tls: serverTlsSection.optional() }),
]);

/** What stands at `mqtt`, for every address that says nothing else. */
export interface ListenDefaults {
  readonly allowAnonymous?: boolean | undefined;
  readonly tls?: TlsSection | undefined;
}

/** `at` is below the address. */
type Complain = (at: readonly string[], expected: string, found: string) => void;

/** An address with its own options over those of all. */
export function resolveListen(
  item: string | ListenSection,
  defaults: ListenDefaults,
  complain: Complain,
): ListenConfig {
  const own = typeof item === 'string' ? { url: item } : item;
  const { url } = own;
  const allowAnonymous = own.allowAnonymous ?? defaults.allowAnonymous;
  const parsed = parseListen(url);
  if (parsed === undefined || !isSecure(parsed)) {
    if (own.tls !== undefined) {
      complain(['tls'], 'mqtts or wss in the address', url.replace(/:.*/u, ''));
    }
    return { url, allowAnonymous, tls: undefined };
  }
  const tls = { ...defaults.tls, ...given(own.tls) };
  for (const option of ['cert', 'key'] as const) {
    if (tls[option] !== undefined) continue;
    complain(['tls', option], `${PEM_EXPECTED}, here or at mqtt.tls`, 'nothing');
  }
  if (tls.requireCertificate === true && tls.ca === undefined) {
    complain(
      ['tls', 'ca'],
      'the path of the PEM file of the CA that signs the certificates of devices',
      'nothing',
    );
  }
  if (tls.user !== undefined && tls.requireCertificate !== true) {
    complain(
      ['tls', 'requireCertificate'],
      'true, for tls.user takes the user name from the certificate',
      tls.requireCertificate === undefined ? 'nothing' : 'false',
    );
  }
  return { url, allowAnonymous, tls: completeTls(tls) };
}

/** Undefined where the certificate or its key is missing. */
export function completeTls(tls: TlsSection | undefined): ServerTls | undefined {
  if (tls?.cert === undefined || tls.key === undefined) return undefined;
  return {
    cert: tls.cert,
    key: tls.key,
    passphrase: tls.passphrase,
    ca: tls.ca,
    requireCertificate: tls.requireCertificate ?? false,
    user: tls.user,
    minVersion: tls.minVersion ?? 'TLSv1.2',
  };
}

/** An option that is left out overrules nothing. */
function given(tls: TlsSection | undefined): TlsSection {
  const entries = Object.entries(tls ?? {}).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as TlsSection;
}
