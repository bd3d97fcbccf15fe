import path from 'node:path';
import { type Document, isMap, parseDocument, stringify } from 'yaml';
import { type DataPath, formatPath, readConfigDocument } from './config-document.ts';
import type { ConfigFile } from './config-include.ts';
import { isKnownName } from './config-problems.ts';
import { configSchema } from './config-schema.ts';
import type { LoadSurroundings } from './config.ts';

/** What of a configuration may be shown to others, and what of it must not be anywhere. */
export interface Redaction {
  /** Its options as YAML, without comments and secrets, file by file; undefined: it is no YAML. */
  readonly shown: string | undefined;
  /** Secrets that stand in it, or are referred to: texts that must not get out. */
  readonly secrets: readonly string[];
  /** Options with a secret written out, as dotted paths. */
  readonly inline: readonly string[];
  /** Files that hold secrets, absolute; of the configuration, too, where one is written out in it. */
  readonly files: readonly string[];
}

const NOT_SHOWN = '(not shown)';
/** adminToken as token; a tokenFile is a path. */
const SECRET_NAME = /(?:password|passphrase|secret|token)$/iu;
/** Sections with secrets in them, where somebody may write one text instead. */
const SECRET_SECTIONS = new Set(['sasl', 'users', 'jwt', 'headers']);
/** Sections whose names are free, and whose values are secrets. */
const SECRET_MAPS = new Set<DataPath[number]>(['headers']);

/** They need not be good: what is not understood is not shown. The first includes the others. */
export function redactConfig(
  files: readonly ConfigFile[],
  { env, workingFolder }: LoadSurroundings,
): Redaction {
  const [first] = files;
  const main = path.dirname(path.resolve(workingFolder, first?.file ?? ''));
  const credentialsFolder = path.join(main, 'credentials');
  const parts = files.map((file) => redactFile(file, { env, workingFolder, credentialsFolder }));
  const several = parts.map(({ shown }, index) => {
    const name = files[index]?.file ?? '';
    return shown === undefined ? `# ${name}: no YAML, not shown\n` : `# ${name}\n${shown}`;
  });
  return {
    shown: parts.length === 1 ? parts[0]?.shown : several.join('---\n'),
    secrets: [...new Set(parts.flatMap(({ secrets }) => secrets))],
    inline: parts.flatMap(({ inline }) => inline),
    files: [...new Set(parts.flatMap((part) => part.files))],
  };
}

function redactFile(
  { file, text }: ConfigFile,
  { env, workingFolder, credentialsFolder }: LoadSurroundings & { credentialsFolder: string },
): Redaction {
  const whole = path.resolve(workingFolder, file);
  const sources = { env, folder: path.dirname(whole), credentialsFolder };
  const { references } = readConfigDocument(text, file, sources);
  const secret = references.filter((reference) => isSecret(reference.at, reference.text));
  const document = parseDocument(text, { logLevel: 'error', uniqueKeys: false });
  const redactor = new Redactor();
  const isYaml = document.errors.length === 0;
  const value = isYaml ? acyclic(document) : undefined;
  const shown = value === undefined ? undefined : stringify(redactor.redact(value, []));
  const own = redactor.inline.length === 0 ? [] : [whole];
  return {
    shown,
    secrets: [...new Set([...secret.map((reference) => reference.text), ...redactor.secrets])],
    inline: redactor.inline,
    files: [...own, ...new Set(secret.flatMap((reference) => reference.file ?? []))],
  };
}

/** `key` is a secret where it is a private key, and no path, no route's template. */
function isSecret(at: DataPath, text: string): boolean {
  const name = at.at(-1);
  const isNamed = typeof name === 'string' && (SECRET_NAME.test(name) || SECRET_SECTIONS.has(name));
  return isNamed || at.some((part) => SECRET_MAPS.has(part)) || /PRIVATE KEY-----/u.test(text);
}

class Redactor {
  readonly secrets: string[] = [];
  readonly inline: string[] = [];

  redact(value: unknown, at: DataPath): unknown {
    if (Array.isArray(value)) {
      return value.map((item, index) => this.redact(item, [...at, index]));
    }
    if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value).map(([name, inner]): [string, unknown] =>
        isKnownName(configSchema, at, name)
          ? [name, this.redact(inner, [...at, name])]
          : [name, this.#withheld(inner, '(not shown: no option of gatelog)')],
      );
      return Object.fromEntries(entries);
    }
    return this.#leaf(value, at);
  }

  #leaf(value: unknown, at: DataPath): unknown {
    if (typeof value !== 'string' && typeof value !== 'number') return value;
    const text = String(value);
    if (isSecret(at, text)) {
      if (isReferenceAlone(text)) return text;
      this.inline.push(formatPath(at));
      return this.#withheld(text, NOT_SHOWN);
    }
    if (typeof value !== 'string') return value;
    return text.replaceAll(/(:\/\/)([^/@\s]+)@/gu, (_, begin: string, user: string) => {
      this.secrets.push(user, ...user.split(':').slice(1));
      return `${begin}${NOT_SHOWN}@`;
    });
  }

  #withheld(value: unknown, word: string): string {
    for (const text of textsIn(value)) this.secrets.push(text, ...defaultsIn(text));
    return word;
  }
}

/** Not the one with a default, which may be a secret. */
const REFERENCES =
  /^(?:(?:Bearer|Basic) )?(?:\$\{(?:(?:file|credential):[^}]+|(?:env:\s*)?[A-Za-z_]\w*\s*)\})+$/u;

function isReferenceAlone(text: string): boolean {
  return REFERENCES.test(text.trim());
}

/** Of variables: `${NAME:-DEFAULT}`. */
function defaultsIn(text: string): string[] {
  return [...text.matchAll(/\$\{[^}]*?:-([^}]*)\}/gu)].map(([, given]) => given ?? '');
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(textsIn);
  return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [];
}

/** undefined: no map, or aliases that lead to themselves or multiply without end. */
function acyclic(document: Document.Parsed): object | undefined {
  if (document.contents !== null && !isMap(document.contents)) return undefined;
  try {
    return JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 100 }) ?? {})) as object;
  } catch {
    return undefined;
  }
}
