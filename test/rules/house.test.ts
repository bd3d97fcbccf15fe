import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { modulesBelow, ROOT } from './source-tree.ts';

/** Project rules that no linter knows, each with what to use instead. */
const modules = modulesBelow('src');
const tests = modulesBelow('test');

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//gu, '').replaceAll(/(?<!:)\/\/.*$/gmu, '');
}

interface Ban {
  readonly pattern: RegExp;
  readonly only: RegExp;
  readonly instead: string;
}

const BANS: readonly Ban[] = [
  {
    pattern: /\bDate\b|\bset(?:Timeout|Interval)\(|\bperformance\.now/u,
    // The page lives in a browser, whose time is its own.
    only: /^src\/(?:time\.ts$|page\/)/u,
    instead: 'take a Clock (src/time.ts)',
  },
  {
    pattern: /\bMath\.random\b|\brandom(?:Bytes|UUID|Int)\b/u,
    only: /^src\/random\.ts$/u,
    instead: 'take a Random (src/random.ts)',
  },
  {
    pattern: /\bprocess\.exit\(/u,
    only: /^src\/main\.ts$/u,
    instead: 'return an exit code or throw a GatelogError',
  },
  {
    pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/u,
    only: /^$/u,
    instead: 'do it, or write an issue',
  },
];

test.each(BANS)('banned: $pattern ($instead)', ({ pattern, only, instead }) => {
  const found = modules
    .filter((module) => !only.test(module.path))
    .filter((module) => pattern.test(withoutComments(module.text)))
    .map((module) => `${module.path}: ${instead}`);
  expect(found).toEqual([]);
});

test('every switched-off lint rule has a reason behind --', () => {
  const bare = [...modules, ...tests].flatMap((module) =>
    module.text
      .split('\n')
      .map((line, index) => ({ line, place: `${module.path}:${index + 1}` }))
      .filter(
        ({ line }) => /(?:ox|es)lint-disable(?!d)/u.test(line) && !module.path.includes('rules/'),
      )
      .filter(({ line }) => !/lint-disable\S*\s+\S.*--\s*\S+/u.test(line))
      .map(({ place }) => place),
  );
  expect(bare).toEqual([]);
});

test('no test is skipped, focused or retried', () => {
  const found = tests
    .filter((module) => !module.path.includes('rules/'))
    .filter((module) =>
      /\b(?:test|it|describe)\.(?:skip|only|todo)\b|\bretry:\s*[1-9]/u.test(module.text),
    )
    .map((module) => module.path);
  expect(found).toEqual([]);
});

test('source files stay under 400 lines', () => {
  const long = modules
    .map((module) => ({ path: module.path, lines: module.text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > 400);
  expect(long).toEqual([]);
  expect(modules.length).toBeGreaterThan(60);
});

test('stopping ends before systemd loses patience (invariant 9)', () => {
  const unit = readFileSync(join(ROOT, 'deploy/systemd/gatelog.service'), 'utf8');
  const seconds = Number(/^TimeoutStopSec=(\d+)s?$/mu.exec(unit)?.[1]);
  expect(seconds * 1000).toBeGreaterThan(LIMITS.stopMs);
});

test('every invariant of ARCHITECTURE.md names the tests that enforce it, and they exist', () => {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const invariants = [
    ...text.matchAll(/^(\d+)\. \*\*INV-(\d+)\*\*[\s\S]*?(?=^\d+\. \*\*INV-|^## )/gmu),
  ];
  expect(invariants.map((found) => Number(found[2]))).toEqual([
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
  ]);
  const paths = new Set(tests.map((module) => module.path));
  for (const [section, , number] of invariants) {
    const named = [...section.matchAll(/`(test\/[\w./-]+\.test\.ts)`/gu)].map((found) => found[1]);
    expect(named.length, `INV-${number} names a test`).toBeGreaterThan(0);
    for (const path of named) expect(paths, `INV-${number}: ${path}`).toContain(path);
  }
});
