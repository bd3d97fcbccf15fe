import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { exitCodeOf } from '../../src/errors.ts';
import { commandModel } from './command-model.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completions.ts';
import { copyrightFile } from './copyright-file.ts';
import { licensedModule, pageLibrary } from './licensed-part.ts';
import { exitMeanings } from './exit-meanings.ts';
import { gzipped } from './gzip.ts';
import { manPages } from './man-page.ts';
import { ARCHITECTURES, type Architecture, ROOT } from './production-modules.ts';
import { type Module, shippedModules } from './shipped-modules.ts';
import { isElf, strippedElf } from './strip-elf.ts';
import { addFile, addLink, type Tree } from './tree.ts';

export interface TreeFacts {
  readonly architecture: Architecture;
  /** `0.1.0` */
  readonly version: string;
  /** `0.1.0-1` */
  readonly debianVersion: string;
  readonly maintainer: string;
  readonly seconds: number;
  /** Where `node_modules` of that architecture lies. */
  readonly modules: string;
}

export interface DebianTree {
  readonly tree: Tree;
  readonly modules: readonly Module[];
}

/** Everything that the package puts on a system. */
export function debianTree(facts: TreeFacts): DebianTree {
  const tree: Tree = new Map();
  const modules = addProgram(tree, facts);
  addDebian(tree);
  addManual(tree, facts);
  addDocs(tree, facts, modules);
  return { tree, modules };
}

const HOME = 'usr/lib/gatelog';
const DOC = 'usr/share/doc/gatelog';
export const CONFIG_FILE = 'etc/gatelog/gatelog.yaml';

/** The same layout as a checkout's, so that all find everything in the same places. */
function addProgram(tree: Tree, { architecture, modules: folder, version }: TreeFacts): Module[] {
  const scripts: string[] = [];
  for (const file of filesBelow('dist')) {
    if (extname(file) === '.map' || file === 'dist/.built' || isLeftOver(file)) continue;
    const bytes = read(file);
    if (extname(file) === '.js') scripts.push(bytes.toString('utf8'));
    // The command is another file: this one would look for a Node on the path.
    addFile(tree, `${HOME}/${file}`, file === 'dist/main.js' ? withoutShebang(bytes) : bytes);
  }
  const modules = shippedModules(folder, scripts, architecture);
  for (const file of modules.flatMap(({ files }) => files)) {
    const bytes = readFileSync(join(folder, file));
    const mode = file.endsWith('/bin/node') ? 0o755 : 0o644;
    addFile(
      tree,
      `${HOME}/${file}`,
      isElf(bytes) ? strippedElf(bytes) : withoutShebang(bytes),
      mode,
    );
  }
  const node = `../node-linux-${ARCHITECTURES[architecture]}/bin/node`;
  addLink(tree, `${HOME}/node_modules/.bin/node`, node);
  const manifest = { name: 'gatelog', version, type: 'module', license: 'Apache-2.0' };
  addFile(tree, `${HOME}/package.json`, `${JSON.stringify(manifest, null, 2)}\n`);
  addFile(tree, `${HOME}/deploy/gatelog`, read('deploy/gatelog'), 0o755);
  addLink(tree, 'usr/bin/gatelog', '../lib/gatelog/deploy/gatelog');
  return modules;
}

/** Of an earlier build: its source is not there any more. Each build makes the page's folder anew. */
function isLeftOver(file: string): boolean {
  if (file.startsWith('dist/page/')) return false;
  const source = file.replace(/^dist\//u, 'src/').replace(/\.js$/u, '.ts');
  return file.endsWith('.js') && !existsSync(join(ROOT, source));
}

/** No file but the command is to be called by a person. */
function withoutShebang(bytes: Buffer): Buffer {
  return bytes.subarray(0, 2).toString() === '#!' ? bytes.subarray(bytes.indexOf('\n') + 1) : bytes;
}

function addDebian(tree: Tree): void {
  addFile(tree, CONFIG_FILE, read('deploy/debian/gatelog.yaml'));
  for (const file of filesBelow('deploy/systemd')) addFile(tree, placeOf(file), read(file));
  addFile(tree, 'usr/lib/tmpfiles.d/gatelog.conf', read('deploy/debian/gatelog.tmpfiles'));
  const overrides = read('deploy/debian/gatelog.lintian-overrides');
  addFile(tree, 'usr/share/lintian/overrides/gatelog', overrides);
}

/** Of a file for systemd: users, a unit, or what a unit is given besides. */
function placeOf(file: string): string {
  const name = file.slice('deploy/systemd/'.length);
  if (name === 'gatelog.sysusers') return 'usr/lib/sysusers.d/gatelog.conf';
  const units = 'usr/lib/systemd/system';
  return name.endsWith('.conf') ? `${units}/gatelog.service.d/${name}` : `${units}/${name}`;
}

function addManual(tree: Tree, { version, seconds }: TreeFacts): void {
  const program = commandModel(version);
  const date = new Date(seconds * 1000).toISOString().slice(0, 10);
  const exitCodes = exitMeanings(exitCodeOf);
  for (const { name, text } of manPages(program, { version, date, exitCodes })) {
    addFile(tree, `usr/share/man/man1/${name}.gz`, gzipped(text));
  }
  addFile(tree, 'usr/share/bash-completion/completions/gatelog', bashCompletion(program));
  addFile(tree, 'usr/share/zsh/vendor-completions/_gatelog', zshCompletion(program));
  addFile(tree, 'usr/share/fish/vendor_completions.d/gatelog.fish', fishCompletion(program));
}

function addDocs(tree: Tree, facts: TreeFacts, modules: readonly Module[]): void {
  const licensed = modules.map((module) => licensedModule(module, facts.modules));
  addFile(tree, `${DOC}/copyright`, copyrightFile([...licensed, pageLibrary()]));
  addFile(tree, `${DOC}/changelog.gz`, gzipped(read('CHANGELOG.md').toString('utf8')));
  addFile(tree, `${DOC}/changelog.Debian.gz`, gzipped(debianChangelog(facts)));
  addFile(tree, `${DOC}/README.md`, read('README.md'));
  for (const file of filesBelow('docs')) addFile(tree, `${DOC}/${file}`, read(file));
  addFile(tree, `${DOC}/examples/gatelog.yaml`, read('config/gatelog.yaml'));
  for (const file of filesBelow('config/examples')) {
    addFile(tree, `${DOC}/examples/${file.slice('config/examples/'.length)}`, read(file));
  }
}

function debianChangelog({ debianVersion, version, maintainer, seconds }: TreeFacts): string {
  const date = new Date(seconds * 1000).toUTCString().replace('GMT', '+0000');
  return (
    `gatelog (${debianVersion}) stable; urgency=medium\n\n` +
    `  * gatelog ${version}. What changed is in changelog.gz.\n\n` +
    ` -- ${maintainer}  ${date}\n`
  );
}

/** From the root of the repository, sorted. */
function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name}`)
    .filter((path) => statSync(join(ROOT, path)).isFile())
    .toSorted();
}

function read(file: string): Buffer {
  return readFileSync(join(ROOT, file));
}
