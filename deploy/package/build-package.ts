import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FORMAT_VERSION } from '../../src/store/state.ts';
import { debFile, installedKilobytes } from './deb-file.ts';
import { CONFIG_FILE, debianTree } from './debian-tree.ts';
import { type Architecture, productionModules, ROOT } from './production-modules.ts';
import type { Module } from './shipped-modules.ts';
import type { Tree } from './tree.ts';

export interface PackageOptions {
  readonly architecture: Architecture;
  /** Instead of the one in package.json; for tests of upgrades. */
  readonly version?: string;
  /** Likewise: the newest format of a data folder that it says it knows. */
  readonly format?: number;
  /** How hard it is compressed: 1 is quick. */
  readonly level?: number;
}

export interface DebianPackage {
  /** `gatelog_0.1.0-1_arm64.deb` */
  readonly fileName: string;
  readonly bytes: Buffer;
  readonly installedKilobytes: number;
  readonly tree: Tree;
  readonly modules: readonly Module[];
}

const SMALL = 19;

/** Wants what `npm run build` makes. */
export async function buildPackage(options: PackageOptions): Promise<DebianPackage> {
  const { architecture, format = FORMAT_VERSION, level = SMALL } = options;
  const manifest = JSON.parse(textOf('package.json')) as { readonly version: string };
  const version = options.version ?? manifest.version;
  const debianVersion = `${version}-1`;
  const seconds = sourceSeconds();
  const fields = JSON.parse(textOf('deploy/debian/control.json')) as ControlFields;
  const { Package, Maintainer: maintainer, ...others } = fields;
  const modulesFolder = await productionModules(architecture);
  const { tree, modules } = debianTree({
    architecture,
    version,
    debianVersion,
    maintainer,
    seconds,
    modules: modulesFolder,
  });
  const control = {
    Package,
    Version: debianVersion,
    Architecture: architecture,
    Maintainer: maintainer,
    ...others,
  };
  const scripts = Object.fromEntries(
    ['preinst', 'postinst', 'prerm', 'postrm'].map((name) => [
      name,
      textOf(`deploy/debian/${name}`)
        .replaceAll('@FORMAT@', String(format))
        .replaceAll('@VERSION@', version),
    ]),
  );
  const bytes = await debFile({ control, scripts, conffiles: [CONFIG_FILE], tree, seconds, level });
  const fileName = `${Package}_${debianVersion}_${architecture}.deb`;
  return { fileName, bytes, installedKilobytes: installedKilobytes(tree), tree, modules };
}

interface ControlFields {
  readonly Package: string;
  /** Who answers for the package; also in its changelog. Nobody does as it stands: docs/package.md. */
  readonly Maintainer: string;
  readonly [field: string]: string;
}

/** The time that all files of the package have: reproducible builds say it, else the commit's. */
function sourceSeconds(): number {
  const given = Number(process.env['SOURCE_DATE_EPOCH'] ?? Number.NaN);
  if (Number.isSafeInteger(given)) return given;
  try {
    const args = ['log', '-1', '--format=%ct'];
    return Number(execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }));
  } catch {
    return LONG_AGO;
  }
}

/** 1980: without a commit, say in an unpacked archive. Before it some tools know no time. */
const LONG_AGO = 315_532_800;

function textOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}
