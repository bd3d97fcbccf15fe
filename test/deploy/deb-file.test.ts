import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { debFile, installedKilobytes } from '../../deploy/package/deb-file.ts';
import { gzipped } from '../../deploy/package/gzip.ts';
import { isElf, strippedElf } from '../../deploy/package/strip-elf.ts';
import { tarOf } from '../../deploy/package/tar.ts';
import { addFile, addLink, type Tree } from '../../deploy/package/tree.ts';
import { runChecked } from '../support/process.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-deb-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const DEEP = `usr/lib/${'deep/'.repeat(30)}file.js`;

function someTree(names: readonly string[]): Tree {
  const tree: Tree = new Map();
  for (const name of names) addFile(tree, name, `in ${name}\n`, name === 'b' ? 0o755 : 0o644);
  addLink(tree, 'usr/bin/link', '../lib/file');
  return tree;
}

const PARTS = {
  control: { Package: 'p', Version: '1-1', Architecture: 'amd64' },
  scripts: { preinst: '#!/bin/sh\n' },
  conffiles: ['etc/conf'],
  seconds: 1_700_000_000,
  level: 3,
};

describe('tar', () => {
  test('is read as it was meant: names, long ones too, modes, owners, times, links', async () => {
    const file = join(folder, 'it.tar');
    writeFileSync(file, tarOf(someTree(['b', DEEP, 'etc/conf']), PARTS.seconds));
    const args = ['--numeric-owner', '--utc', '-tvf', file];
    const { stdout, stderr } = await runChecked({ command: 'tar', args });
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^-rwxr-xr-x 0\/0 +5 2023-11-14 22:13 \.\/b$/mu);
    expect(stdout).toMatch(/^-rw-r--r-- 0\/0 .* \.\/etc\/conf$/mu);
    expect(stdout).toMatch(/^drwxr-xr-x 0\/0 .* \.\/etc\/$/mu);
    expect(stdout).toContain(`./${DEEP}\n`);
    expect(stdout).toContain('./usr/bin/link -> ../lib/file\n');
    await runChecked({ command: 'tar', args: ['-xf', file, '-C', folder, './etc/conf'] });
    expect(readFileSync(join(folder, 'etc/conf'), 'utf8')).toBe('in etc/conf\n');
  });

  test('a file of no block and one of whole blocks', async () => {
    const tree: Tree = new Map();
    addFile(tree, 'empty', '');
    addFile(tree, 'full', Buffer.alloc(1024, 'x'));
    writeFileSync(join(folder, 'it.tar'), tarOf(tree, 0));
    await runChecked({ command: 'tar', args: ['-xf', join(folder, 'it.tar'), '-C', folder] });
    expect(readFileSync(join(folder, 'empty'))).toHaveLength(0);
    expect(readFileSync(join(folder, 'full'))).toHaveLength(1024);
  });
});

describe('deb', () => {
  test('in whichever order the tree was made, it is the same file', async () => {
    const one = await debFile({ ...PARTS, tree: someTree(['b', DEEP, 'etc/conf']) });
    const other = await debFile({ ...PARTS, tree: someTree(['etc/conf', DEEP, 'b']) });
    expect(one.equals(other)).toBe(true);
  });

  test('has sums of everything but what a person changes', async () => {
    const tree = someTree(['b', 'etc/conf']);
    const deb = await debFile({ ...PARTS, tree });
    const control = memberOf(deb, 'control.tar.zst');
    const text = zstdDecompressSync(control).toString('latin1');
    expect(text).toContain(`Installed-Size: ${installedKilobytes(tree)}\n`);
    expect(text).toMatch(/[0-9a-f]{32} {2}b\n/u);
    expect(text).not.toMatch(/[0-9a-f]{32} {2}etc\/conf/u);
    expect(text).toContain('/etc/conf\n');
    const data = zstdDecompressSync(memberOf(deb, 'data.tar.zst'));
    expect(data.equals(tarOf(tree, PARTS.seconds))).toBe(true);
  });

  test('a path that is there already is a mistake', () => {
    const tree = someTree(['b']);
    expect(() => addFile(tree, 'b', '')).toThrow('b is in the package twice');
  });
});

/** As ar(5) has them. */
function memberOf(deb: Buffer, wanted: string): Buffer {
  for (let at = 8; at < deb.length;) {
    const name = deb.toString('latin1', at, at + 16).trim();
    const size = Number(deb.toString('latin1', at + 48, at + 58));
    expect(deb.toString('latin1', at + 58, at + 60)).toBe('`\n');
    if (name === wanted) return deb.subarray(at + 60, at + 60 + size);
    at += 60 + size + (size & 1);
  }
  throw new Error(`no ${wanted}`);
}

test('a gzip file says nothing of when and where it was made', () => {
  const bytes = gzipped('text');
  expect([...bytes.subarray(4, 8), bytes[9]]).toEqual([0, 0, 0, 0, 3]);
});

test('a program without its symbols runs as before', async () => {
  const source = join(folder, 'it.c');
  const program = join(folder, 'it');
  writeFileSync(source, '#include <stdio.h>\nint main(void) { puts("runs"); return 0; }\n');
  await runChecked({ command: 'cc', args: ['-g', '-o', program, source] });
  const whole = readFileSync(program);
  const stripped = strippedElf(whole);
  expect(isElf(stripped)).toBe(true);
  expect(stripped.length).toBeLessThan(whole.length * 0.95);
  expect(strippedElf(stripped).equals(stripped)).toBe(true);
  writeFileSync(program, stripped);
  expect((await runChecked({ command: program })).stdout).toBe('runs\n');
  expect(() => strippedElf(Buffer.from('#!/bin/sh'))).toThrow('no ELF file');
});
