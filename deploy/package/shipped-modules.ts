import { readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import type { Architecture } from './production-modules.ts';
import { ARCHITECTURES } from './production-modules.ts';

/** A package of npm as it lies in node_modules. */
export interface Module {
  /** `node_modules/mqtt/node_modules/ws` */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly author: string | undefined;
  /** Those that are shipped, by their paths below the folder of all. */
  readonly files: readonly string[];
  /** Licences, notices. */
  readonly legal: readonly string[];
  /** What it loads where there is one for this system, by names that it puts together. */
  readonly optional: readonly string[];
}

/** The packages below `folder` that something of ours may load, and of them what a running agent needs. */
export function shippedModules(
  folder: string,
  program: readonly string[],
  architecture: Architecture,
): Module[] {
  const all = new Map<string, Module>();
  collect(folder, 'node_modules', architecture, all);
  const reached = new Map<string, Module>();
  const asking = program.map((text) => ({ names: namesIn(text), from: '' }));
  for (let next = asking.pop(); next !== undefined; next = asking.pop()) {
    for (const name of next.names) {
      const found = resolved(all, next.from, name);
      if (found === undefined || reached.has(found.path)) continue;
      reached.set(found.path, found);
      asking.push({ names: new Set(found.optional), from: found.path });
      for (const file of found.files.filter((one) => SCRIPTS.has(extname(one)))) {
        asking.push({ names: namesIn(readFileSync(join(folder, file), 'utf8')), from: found.path });
      }
    }
  }
  const node = all.get(`node_modules/node-linux-${ARCHITECTURES[architecture]}`);
  if (node !== undefined) reached.set(node.path, node);
  return [...reached.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

const SCRIPTS = new Set(['.js', '.mjs', '.cjs']);
const NEEDED = new Set([...SCRIPTS, '.json', '.node', '.wasm']);
/** At the top of a package nothing that runs looks into them; further down a folder may be a part of it. */
const NEVER =
  /^(?:tests?|__tests__|benchmarks?|bench|examples?|docs?|coverage|fixtures)\/|^(?:test|bench|benchmark|example)(?:-[\w-]+)?\.[cm]?js$|(?:^|\/)\./u;
const NOT_LOADED =
  /(?:^|\/)(?:tsconfig[^/]*\.json|package-lock\.json|[^/]*\.test\.[cm]?js|[^/]*\.d\.[cm]?ts)$/u;
const LEGAL = /^(?:licen[cs]e|copying|notice|copyright|unlicense)/iu;

function collect(
  folder: string,
  below: string,
  architecture: Architecture,
  into: Map<string, Module>,
): void {
  for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue;
    const path = `${below}/${entry.name}`;
    if (entry.name.startsWith('@')) collect(folder, path, architecture, into);
    else collectOne(folder, path, architecture, into);
  }
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string | { readonly type: string };
  readonly licenses?: readonly { readonly type: string }[];
  readonly author?: string | { readonly name: string };
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function collectOne(
  folder: string,
  path: string,
  architecture: Architecture,
  into: Map<string, Module>,
): void {
  const manifest = JSON.parse(readFileSync(join(folder, path, 'package.json'), 'utf8')) as Manifest;
  const files: string[] = [];
  const legal: string[] = [];
  walk(join(folder, path), '', (file) => {
    const name = file.slice(file.lastIndexOf('/') + 1);
    if (LEGAL.test(name) && !SCRIPTS.has(extname(name))) legal.push(`${path}/${file}`);
    if (isShipped(`${path}/${file}`, file, architecture)) files.push(`${path}/${file}`);
  });
  const { name, version, license, licenses, author, optionalDependencies = {} } = manifest;
  const named = typeof license === 'object' ? license.type : license;
  into.set(path, {
    path,
    name,
    version,
    license: named ?? licenses?.map(({ type }) => type).join(' or ') ?? 'unknown',
    author: typeof author === 'object' ? author.name : author,
    files: files.toSorted(),
    legal: legal.toSorted(),
    optional: Object.keys(optionalDependencies),
  });
  const nested = `${path}/node_modules`;
  try {
    collect(folder, nested, architecture, into);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Of the package itself, not of those nested in it. */
function walk(folder: string, below: string, each: (file: string) => void): void {
  for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      if (entry.name !== 'node_modules') walk(folder, path, each);
    } else each(path);
  }
}

function isShipped(whole: string, file: string, architecture: Architecture): boolean {
  if (whole.startsWith('node_modules/node-linux-'))
    return /^(?:bin\/node|package\.json)$/u.test(file);
  if (file.endsWith('.node')) return isForUs(file, architecture);
  return NEEDED.has(extname(file)) && !NEVER.test(file) && !NOT_LOADED.test(file);
}

/** Of the natives that a package has for many systems. */
function isForUs(file: string, architecture: Architecture): boolean {
  // Debian's C library is glibc; of those for one version of Node the one for all versions is loaded.
  if (/musl|\.abi\d+\./u.test(file)) return false;
  if (!file.startsWith('prebuilds/')) return true;
  return dirname(file) === `prebuilds/linux-${ARCHITECTURES[architecture]}`;
}

/** Every text in quotes that may be the name of a package, however it comes to be loaded. */
function namesIn(text: string): Set<string> {
  const found = text.matchAll(/(['"`])((?:@[\w.-]+\/)?[\w.-]+)(?:\/[^'"`\n]*)?\1/gu);
  return new Set([...found].map((each) => each[2] ?? ''));
}

/** As Node looks for it: beside who asks, then further up. */
function resolved(
  all: ReadonlyMap<string, Module>,
  from: string,
  name: string,
): Module | undefined {
  for (let at = from; ;) {
    const found = all.get(at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`);
    if (found !== undefined || at === '') return found;
    const up = at.lastIndexOf('/node_modules/');
    at = up === -1 ? '' : at.slice(0, up);
  }
}
