import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT: string = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export interface SourceModule {
  /** Path from the repository's root, with slashes. */
  readonly path: string;
  readonly text: string;
  /** Modules of ours that it imports (static, dynamic, type-only alike). */
  readonly own: readonly string[];
  /** Packages and node: modules that it imports. */
  readonly outside: readonly string[];
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesBelow(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

const SPECIFIERS = [
  /^\s*import\s[^'"]*?from\s+['"]([^'"]+)['"]/gmu,
  /^\s*import\s+['"]([^'"]+)['"]/gmu,
  /^\s*(?:export|\})\s[^'"\n]*?from\s+['"]([^'"]+)['"]/gmu,
  /\bimport\(\s*['"]([^'"]+)['"]\s*\)/gu,
];

function specifiersOf(text: string): string[] {
  return SPECIFIERS.flatMap((pattern) =>
    [...text.matchAll(pattern)].map((found) => found[1] ?? ''),
  );
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  const [first = '', second = ''] = specifier.split('/');
  return first.startsWith('@') ? `${first}/${second}` : first;
}

/** Every TypeScript module below `folder`, with what it imports. */
export function modulesBelow(folder: string): SourceModule[] {
  return filesBelow(folder).map((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8');
    const specifiers = [...new Set(specifiersOf(text))];
    const own = specifiers
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => relative(ROOT, normalize(join(ROOT, dirname(path), specifier))));
    const outside = specifiers.filter((specifier) => !specifier.startsWith('.')).map(packageOf);
    return { path, text, own, outside };
  });
}
