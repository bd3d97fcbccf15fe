import path from 'node:path';
import { isUrl } from './config-jwt.ts';

/**
 * Relative paths in a configuration are relative to the folder of the file in which they stand, so they are made absolute
 * before files are put together.
 */
interface PathOption {
  /** `*` is a free name, `[]` an item of a list. */
  readonly at: readonly string[];
  /** Where it is not only a path: the part before it, or undefined for what is none. */
  readonly before?: (text: string) => string | undefined;
}

const SECTIONS_WITH_TLS = [['mqtt'], ['mqtt', 'listen', '[]'], ['http']];

const OPTIONS: readonly PathOption[] = [
  { at: ['data'] },
  { at: ['clock', 'trust'], before: (text) => (text.startsWith('file:') ? 'file:' : undefined) },
  { at: ['mqtt', 'usersFile'] },
  { at: ['mqtt', 'aclFile'] },
  { at: ['mqtt', 'jwt', 'keys'], before: (text) => (isUrl(text) ? undefined : '') },
  ...SECTIONS_WITH_TLS.flatMap((section) =>
    ['cert', 'key', 'ca'].map((file) => ({ at: [...section, 'tls', file] })),
  ),
  { at: ['mirrors', '*', 'kafka', 'sasl', 'tokenFile'] },
];

/** What has not the form that the schema wants stays as it is, for the schema to refuse. */
export function withAbsolutePaths(value: unknown, folder: string): unknown {
  return OPTIONS.reduce((whole, { at, before = () => '' }) => {
    const absolute = (text: string): string => {
      const beginning = before(text);
      const file = beginning === undefined ? '' : text.slice(beginning.length);
      return isOfAFile(file) ? `${beginning}${path.resolve(folder, file)}` : text;
    };
    return changedAt(whole, at, absolute);
  }, value);
}

/** Who wrote the content of a file instead of its name is told so by the schema. */
function isOfAFile(text: string): boolean {
  return text !== '' && !/-----BEGIN|^\s*\{|\n/u.test(text);
}

function changedAt(
  value: unknown,
  [key, ...rest]: readonly string[],
  change: (text: string) => string,
): unknown {
  if (key === undefined) return typeof value === 'string' ? change(value) : value;
  if (Array.isArray(value)) {
    return key === '[]' ? value.map((item) => changedAt(item, rest, change)) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const map = value as Readonly<Record<string, unknown>>;
  const changed = Object.create(null) as Record<string, unknown>;
  for (const [name, inner] of Object.entries(map)) {
    changed[name] = key === '*' || key === name ? changedAt(inner, rest, change) : inner;
  }
  return changed;
}
