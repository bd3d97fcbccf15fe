import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  buildPackage,
  type DebianPackage,
  type PackageOptions,
} from '../../deploy/package/build-package.ts';
import { ROOT } from '../../deploy/package/production-modules.ts';

/** The Debians that the package is for. */
export const SUITES = ['bookworm', 'trixie'] as const;

/** Packages for tests, quickly compressed: what the size costs is looked at once, by contents.test.ts. */
const QUICK = 1;
const built = new Map<string, Promise<DebianPackage>>();

/** Once in a process for the same options. */
export function quickPackage(options: PackageOptions): Promise<DebianPackage> {
  const key = JSON.stringify(options);
  const known = built.get(key) ?? buildPackage({ level: QUICK, ...options });
  built.set(key, known);
  return known;
}

/** Puts it into a folder, under its own name; which is returned. */
export async function putPackage(folder: string, options: PackageOptions): Promise<string> {
  const { fileName, bytes } = await quickPackage(options);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, fileName), bytes);
  return fileName;
}

/** What a device does, for the package's own Node inside: publishes lines, each acknowledged. */
export const DEVICE: string = path.join(ROOT, 'test/package/device.mjs');
