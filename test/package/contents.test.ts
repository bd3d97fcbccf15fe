import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildPackage, type DebianPackage } from '../../deploy/package/build-package.ts';
import { ARCHITECTURES, productionModules, ROOT } from '../../deploy/package/production-modules.ts';
import type { Architecture } from '../../deploy/package/production-modules.ts';
import { isElf } from '../../deploy/package/strip-elf.ts';
import type { Tree } from '../../deploy/package/tree.ts';
import { ensureTools } from '../setup/tools.mjs';
import { runChecked } from '../support/process.ts';

/** What is in the packages, as they are released, and what is not. */
const ARCHS = Object.keys(ARCHITECTURES) as Architecture[];
const HOME = 'usr/lib/gatelog';
let folder: string;
const packages = new Map<Architecture, DebianPackage>();

beforeAll(async () => {
  ensureTools(process.env['PATH'] ?? '', ['dpkg-deb', 'man']);
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-contents-'));
  // At once: what compresses has a thread of its own.
  const made = await Promise.all(ARCHS.map((architecture) => buildPackage({ architecture })));
  for (const [index, architecture] of ARCHS.entries()) {
    const one = made[index];
    if (one === undefined) throw new Error(`no package for ${architecture}`);
    packages.set(architecture, one);
    writeFileSync(path.join(folder, one.fileName), one.bytes);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function packageOf(architecture: Architecture): DebianPackage {
  const made = packages.get(architecture);
  if (made === undefined) throw new Error(`no package for ${architecture}`);
  return made;
}

function fileOf(tree: Tree, name: string): Buffer {
  const entry = tree.get(name);
  if (entry?.kind !== 'file') throw new Error(`no file ${name}`);
  return entry.bytes;
}

describe.each(ARCHS)('%s', (architecture) => {
  test('is at most 45 MB', () => {
    const { bytes, installedKilobytes } = packageOf(architecture);
    expect(bytes.length).toBeLessThanOrEqual(45e6);
    const megabytes = (bytes.length / 1e6).toFixed(1);
    process.stdout.write(`${architecture}: ${megabytes} MB, ${installedKilobytes} kB installed\n`);
  });

  test('all programs and libraries are of that architecture, and without symbols', () => {
    const { tree } = packageOf(architecture);
    const natives = [...tree].flatMap(([name, entry]) =>
      entry.kind === 'file' && isElf(entry.bytes) ? [{ name, bytes: entry.bytes }] : [],
    );
    const machine = architecture === 'amd64' ? 62 : 183;
    expect(natives.length).toBeGreaterThanOrEqual(4);
    for (const { name, bytes } of natives)
      expect([name, bytes.readUInt16LE(18)]).toEqual([name, machine]);
    const natively = natives.map(({ name }) => name);
    expect(natively.filter((name) => name.includes('classic-level'))).toHaveLength(1);
    expect(natively.filter((name) => name.includes('musl'))).toEqual([]);
  });

  test('nothing that only developers want', () => {
    const names = [...packageOf(architecture).tree.keys()].filter((name) => name.startsWith(HOME));
    const odd = names.filter((name) =>
      /\.(?:map|md|[cm]?ts|c|cc|h|gyp)$|\/node_modules\/@types\//u.test(name),
    );
    expect(odd).toEqual([]);
    expect(names.length).toBeGreaterThan(1000);
  });

  test('the status page is there as it was built, the library of its charts with its licence', () => {
    const { tree } = packageOf(architecture);
    const page = `${HOME}/dist/page/`;
    const shipped = [...tree.keys()].filter((name) => name.startsWith(page));
    const built = readdirSync(path.join(ROOT, 'dist/page')).filter(
      (name) => !name.endsWith('.map'),
    );
    expect(shipped.map((name) => name.slice(page.length)).toSorted()).toEqual(built.toSorted());
    expect(built).toContain('uPlot.js');
    const copyright = fileOf(tree, 'usr/share/doc/gatelog/copyright').toString('utf8');
    expect(copyright).toMatch(
      /^Files: usr\/lib\/gatelog\/dist\/page\/uPlot\.\*\nCopyright: .*Leon/mu,
    );
  });

  test('what its files load of each other is there, as far as it was', async () => {
    const { tree } = packageOf(architecture);
    const modules = await productionModules(architecture);
    expect(missingIn(tree, modules)).toEqual([]);
  });

  test('everything that is shipped stands in the copyright file, with its licence', () => {
    const { tree, modules } = packageOf(architecture);
    const copyright = fileOf(tree, 'usr/share/doc/gatelog/copyright').toString('utf8');
    const named = new Set(
      [...copyright.matchAll(/^Files: usr\/lib\/gatelog\/(\S+)\/\*$/gmu)].map((found) => found[1]),
    );
    const shipped = new Set(
      [...tree.keys()].flatMap(
        (name) =>
          /^usr\/lib\/gatelog\/(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/.][^/]*)\//u.exec(
            name,
          )?.[1] ?? [],
      ),
    );
    expect([...shipped].filter((one) => !named.has(one))).toEqual([]);
    expect(shipped.size).toBe(modules.length);
    const texts = new Set(
      [...copyright.matchAll(/^License: (\S+)\n /gmu)].map((found) => found[1]),
    );
    const used = [...copyright.matchAll(/^License: (.+)$/gmu)].flatMap(
      (found) => found[1]?.split(' and ') ?? [],
    );
    expect([...new Set(used)].filter((one) => !texts.has(one))).toEqual([]);
    // Compiled into what is shipped: no packages of their own.
    expect(copyright).toContain('The LevelDB Authors');
    expect(copyright).toContain('OpenSSL');
  });
});

test('dpkg-deb takes it for what it is', async () => {
  for (const [architecture, { fileName }] of packages) {
    const args = ['--field', path.join(folder, fileName), 'Architecture'];
    expect((await runChecked({ command: 'dpkg-deb', args })).stdout.trim()).toBe(architecture);
  }
});

test('man shows every page without a complaint', async () => {
  const { tree, fileName } = packageOf('amd64');
  const root = path.join(folder, 'root');
  const args = ['--extract', path.join(folder, fileName), root];
  await runChecked({ command: 'dpkg-deb', args });
  const pages = readdirSync(path.join(root, 'usr/share/man/man1'));
  expect(pages.length).toBeGreaterThan(15);
  for (const page of pages) {
    const file = path.join(root, 'usr/share/man/man1', page);
    const spec = { command: 'man', args: ['--warnings', '-l', file], env: { MANWIDTH: '80' } };
    expect((await runChecked(spec)).stderr).toBe('');
  }
  expect(tree.has('usr/share/man/man1/gatelog.1.gz')).toBe(true);
});

/** Relative paths in shipped files that lead to something in `modules` and to nothing in the package. */
function missingIn(tree: Tree, modules: string): string[] {
  const missing: string[] = [];
  for (const [name, entry] of tree) {
    if (entry.kind !== 'file' || !/\/node_modules\/.*\.[cm]?js$/u.test(name)) continue;
    const within = path.dirname(name.slice(HOME.length + 1));
    for (const [, to = ''] of entry.bytes.toString('utf8').matchAll(RELATIVE)) {
      const target = path.join(within, to).replace(/\/$/u, '');
      const found = ENDINGS.some((ending) => tree.has(`${HOME}/${target}${ending}`));
      const was = ENDINGS.some(
        (ending) =>
          /\.[a-z]+$/u.test(target + ending) && existsSync(path.join(modules, target + ending)),
      );
      if (was && !found) missing.push(`${name}: ${to}`);
    }
  }
  return missing;
}

const RELATIVE = /(?:require\(|from|import\(?)\s*['"](\.[^'"]*)['"]/gu;
const ENDINGS = [
  '',
  '.js',
  '.cjs',
  '.mjs',
  '.json',
  '.node',
  '/index.js',
  '/index.cjs',
  '/index.mjs',
];
