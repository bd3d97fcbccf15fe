import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Entry {
  readonly version: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  readonly packages: Readonly<Record<string, Entry>>;
};

/**
 * npm 11 refuses `npm ci` when the lock file leaves out a package for another system, and npm
 * itself leaves them out when the registry it asked did not have them. Such an entry is written by
 * hand then: name, version, `optional`, `os`, `cpu`, `libc`.
 */
describe('package-lock.json', () => {
  const entries = Object.entries(lock.packages);

  it('holds an entry for every optional package of every package, at its version', () => {
    const wanted = entries.flatMap(([path, { optionalDependencies = {} }]) =>
      Object.entries(optionalDependencies).map(([name, version]) => ({ path, name, version })),
    );
    expect(wanted.length).toBeGreaterThan(50);
    const missing = wanted.filter(({ path, name, version }) => {
      const entry =
        lock.packages[`${path}/node_modules/${name}`] ?? lock.packages[`node_modules/${name}`];
      return entry === undefined || (/^\d/.test(version) && entry.version !== version);
    });
    expect(missing).toEqual([]);
  });

  it('holds a checksum of every package that is not optional', () => {
    const without = entries.filter(
      ([path, entry]) => path !== '' && entry.optional !== true && entry.integrity === undefined,
    );
    expect(without.map(([path]) => path)).toEqual([]);
  });
});
