import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './production-modules.ts';
import type { Module } from './shipped-modules.ts';

/** What others made and we ship, for the copyright file. */
export interface LicensedPart {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly author: string | undefined;
  /** Below usr/lib/gatelog, as a pattern of DEP 5. */
  readonly files: string;
  /** Of its licences and notices. */
  readonly texts: readonly string[];
}

export function licensedModule(module: Module, folder: string): LicensedPart {
  const { name, version, license, author, path, legal } = module;
  const texts = legal.map((file) => readFileSync(join(folder, file), 'utf8'));
  return { name, version, license, author, files: `${path}/*`, texts };
}

/** The charts' library, which the build copies beside the page's scripts. */
export function pageLibrary(): LicensedPart {
  const folder = join(ROOT, 'node_modules', 'uplot');
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly name: string;
    readonly version: string;
    readonly license: string;
  };
  const { name, version, license } = manifest;
  const texts = [readFileSync(join(folder, 'LICENSE'), 'utf8')];
  return { name, version, license, author: undefined, files: 'dist/page/uPlot.*', texts };
}
