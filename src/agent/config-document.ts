import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node, Pair, YAMLError, YAMLMap } from 'yaml';
import { messageOf, systemCodeOf } from '../errors.ts';
import type { Place } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { MACHINE_ID_FILE, machineId } from './machine-id.ts';

/**
 * YAML text → plain values, remembering where each came from, with `${file:…}`, `${env:…}` and
 * `${credential:…}` filled in. Collects problems instead of stopping at the first.
 */
export interface Problem {
  readonly place: Place;
  readonly message: string;
}

export type DataPath = readonly (string | number)[];

export interface ConfigDocument {
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Where the value (or, for a key that is wrong, the key) at `path` stands. */
  placeOf(path: DataPath, what?: 'key' | 'value'): Place;
  /** Whether the value at `path` came from a file or the environment, and so is never shown. */
  isHidden(path: DataPath): boolean;
  /** What was filled in for `${…}`. */
  readonly references: readonly Reference[];
}

export interface Reference {
  readonly at: DataPath;
  /** Absolute path; undefined: it came from the environment. */
  readonly file: string | undefined;
  readonly text: string;
}

export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What a relative `${file:…}` is relative to. */
  readonly folder: string;
  /** Where `${credential:…}` is where no service hands one on; default: credentials in that folder. */
  readonly credentialsFolder?: string | undefined;
  /** Default /etc/machine-id. */
  readonly machineIdFile?: string | undefined;
}

/** `a.b[0].c` */
export function formatPath(dataPath: DataPath): string {
  let text = '';
  for (const part of dataPath) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

/** `file` names the text in messages. */
export function readConfigDocument(text: string, file: string, sources: Sources): ConfigDocument {
  const reader = new DocumentReader(file, sources);
  return reader.read(text);
}

interface Spot {
  readonly key: number | undefined;
  readonly value: number | undefined;
}

/** `$${` begins none. */
const UNCLOSED = /(?<!\$)\$\{[^}]*$/u;
const SUBSTITUTION = /\$(\$?)\{([^}]*)\}/gu;

/** `NAME`, `NAME:-DEFAULT`, and both with `env:` before it. */
const VARIABLE = /^(?:env:\s*)?([A-Za-z_]\w*)\s*(?::-(.*))?$/su;

class DocumentReader implements ConfigDocument {
  value: unknown = undefined;
  readonly problems: Problem[] = [];
  readonly #file: string;
  readonly #sources: Sources;
  readonly #lines = new LineCounter();
  readonly #spots = new Map<string, Spot>();
  readonly #hidden = new Set<string>();
  readonly references: Reference[] = [];
  #document: Document.Parsed | undefined;

  constructor(file: string, sources: Sources) {
    this.#file = file;
    this.#sources = sources;
  }

  read(text: string): ConfigDocument {
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      uniqueKeys: false,
      stringKeys: false,
      logLevel: 'error',
    });
    this.#document = document;
    for (const error of [...document.errors, ...document.warnings]) {
      this.problems.push({
        place: this.#at(error.pos[0]),
        message: yamlTrouble(error),
      });
    }
    if (this.problems.length === 0) this.value = this.#convert(document.contents, [], new Set());
    return this;
  }

  placeOf(dataPath: DataPath, what: 'key' | 'value' = 'value'): Place {
    for (let depth = dataPath.length; depth >= 0; depth--) {
      const spot = this.#spots.get(pathId(dataPath.slice(0, depth)));
      const offset = what === 'key' ? (spot?.key ?? spot?.value) : (spot?.value ?? spot?.key);
      if (spot !== undefined && offset !== undefined) return this.#at(offset, dataPath);
    }
    return { ...this.#at(0, dataPath) };
  }

  isHidden(dataPath: DataPath): boolean {
    return this.#hidden.has(pathId(dataPath));
  }

  #at(offset: number, dataPath: DataPath = []): Place {
    const { line, col } = this.#lines.linePos(offset);
    const key = formatPath(dataPath);
    const place = { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1) };
    return key === '' ? place : { ...place, key };
  }

  #convert(node: Node | null | undefined, at: DataPath, within: ReadonlySet<Node>): unknown {
    if (node === null || node === undefined) return null;
    if (!this.#spots.has(pathId(at))) {
      this.#spots.set(pathId(at), { key: undefined, value: node.range?.[0] });
    }
    if (isAlias(node)) {
      const target = this.#document === undefined ? undefined : node.resolve(this.#document);
      if (target === undefined || within.has(target)) {
        this.#complain(at, 'the alias points to nothing that can stand here');
        return null;
      }
      return this.#convert(target, at, within);
    }
    if (isScalar(node)) {
      return typeof node.value === 'string' ? this.#substitute(node.value, at) : node.value;
    }
    const inside = new Set([...within, node]);
    if (isSeq(node)) {
      return node.items.map((item, index) => this.#convert(item as Node, [...at, index], inside));
    }
    return isMap(node) ? this.#convertMap(node, at, inside) : null;
  }

  #convertMap(map: YAMLMap, at: DataPath, within: ReadonlySet<Node>): unknown {
    const result: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      const name = isScalar(pair.key) ? String(pair.key.value) : undefined;
      const keyOffset = pair.key.range?.[0];
      if (name === undefined) {
        this.problems.push({
          place: this.#at(keyOffset ?? 0, at),
          message: 'expected a plain name before the colon, found a list or a map',
        });
        continue;
      }
      const inner = [...at, name];
      const id = pathId(inner);
      if (Object.hasOwn(result, name)) {
        const first = this.placeOf(inner, 'key');
        this.problems.push({
          place: this.#at(keyOffset ?? 0, inner),
          message: `stands here a second time; the first is on line ${first.line}`,
        });
        continue;
      }
      this.#spots.set(id, { key: keyOffset, value: pair.value?.range?.[0] ?? keyOffset });
      result[name] = this.#convert(pair.value, inner, within);
    }
    return result;
  }

  /** `$${` is a literal `${`. */
  #substitute(text: string, at: DataPath): string {
    if (!text.includes('${')) return text;
    if (UNCLOSED.test(text)) this.#complain(at, 'a ${…} that begins here has no closing brace');
    return text.replaceAll(SUBSTITUTION, (whole, escaped: string, reference: string) => {
      if (escaped !== '') return whole.slice(1);
      if (reference === 'machine-id') return this.#fromMachine(at);
      this.#hidden.add(pathId(at));
      const variable = VARIABLE.exec(reference);
      if (variable !== null) {
        return this.#fromEnvironment(variable[1] ?? '', variable[2], at);
      }
      const [kind, ...rest] = reference.split(':');
      const name = rest.join(':').trim();
      if (kind === 'file' && name !== '') {
        return this.#fromFile(path.resolve(this.#sources.folder, name), at);
      }
      if (kind === 'credential' && name !== '') return this.#fromCredential(name, at);
      const forms =
        '${NAME}, ${NAME:-DEFAULT}, ${file:PATH}, ${env:NAME}, ${credential:NAME} or ${machine-id}';
      this.#complain(at, `expected ${forms}, found \${${reference}}`);
      return '';
    });
  }

  /** As in a shell: what is empty has the default, too. */
  #fromEnvironment(name: string, otherwise: string | undefined, at: DataPath): string {
    const value = this.#sources.env[name];
    if (otherwise !== undefined && (value ?? '') === '') return otherwise;
    if (value === undefined) this.#complain(at, `the environment has no variable ${name}`);
    return this.#referred(at, undefined, value ?? '');
  }

  #fromMachine(at: DataPath): string {
    const file = this.#sources.machineIdFile ?? MACHINE_ID_FILE;
    const id = machineId(file);
    if (id === undefined) {
      const mend =
        'systemd-machine-id-setup makes one, and most systems make it at their first boot';
      this.#complain(at, `${file} holds no id of this machine: ${mend}`);
    }
    return id ?? '';
  }

  /**
   * Of the service (systemd.exec(5), Credentials), by its own name or by that of its file in the folder that
   * the unit hands on; else beside the configuration, where root finds what the unit hands on.
   */
  #fromCredential(name: string, at: DataPath): string {
    if (!/^[\w.-]+$/u.test(name) || /^\.+$/u.test(name)) {
      this.#complain(at, `${JSON.stringify(name)} is no name of a credential`);
      return '';
    }
    const given = this.#sources.env['CREDENTIALS_DIRECTORY'];
    const { folder, credentialsFolder = path.join(folder, 'credentials') } = this.#sources;
    const beside = path.resolve(credentialsFolder, name);
    const files = [
      ...(given === undefined ? [] : [path.join(given, name), path.join(given, `gatelog_${name}`)]),
      beside,
    ];
    const file = files.find((each) => existsSync(each));
    if (file !== undefined) return this.#fromFile(file, at);
    if (given === undefined && isLocked(path.dirname(beside))) {
      this.#complain(
        at,
        `${path.dirname(beside)}, where the credential ${name} may be, is for root alone: run this command with sudo`,
      );
      return '';
    }
    this.#complain(
      at,
      `there is no credential ${name}: put it into ${beside}, readable for root alone, and restart the ` +
        `service; or name it in the unit (LoadCredential=${name}:PATH)`,
    );
    return '';
  }

  #referred(at: DataPath, file: string | undefined, text: string): string {
    this.references.push({ at, file, text });
    return text;
  }

  #fromFile(file: string, at: DataPath): string {
    try {
      const text = readFileSync(file, 'utf8');
      if (text.length <= LIMITS.configFileBytes) {
        return this.#referred(at, file, text.replace(/\r?\n$/u, ''));
      }
      this.#complain(at, `${file} is too large to be a secret or a certificate`);
    } catch (error) {
      this.#complain(at, `can't read ${file}: ${reasonOf(error)}`);
    }
    return '';
  }

  #complain(at: DataPath, message: string): void {
    this.problems.push({ place: this.placeOf(at), message });
  }
}

const REASONS: ReadonlyMap<string | undefined, string> = new Map([
  ['ENOENT', 'there is no such file'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
  ['EISDIR', 'it is a folder'],
  ['ENOTDIR', 'a part of the path is not a folder'],
]);

/** The usual system errors in words; anything else as it is. */
export function reasonOf(error: unknown): string {
  return REASONS.get(systemCodeOf(error)) ?? messageOf(error);
}

function yamlTrouble(error: YAMLError): string {
  if (error.code === 'MULTIPLE_DOCS') return 'a second document begins here; there can be one only';
  // The library's message would repeat the text, which may be a password that wants quotes.
  if (error.code === 'TAG_RESOLVE_FAILED') {
    return 'not valid YAML: a text that begins with ! must stand in quotes';
  }
  return `not valid YAML: ${lowerFirst(error.message)}`;
}

function pathId(dataPath: DataPath): string {
  return JSON.stringify(dataPath);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** It is there, and this user may not look into it. */
function isLocked(folder: string): boolean {
  try {
    accessSync(folder, constants.X_OK);
    return false;
  } catch (error) {
    return systemCodeOf(error) === 'EACCES';
  }
}
