import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildPackage } from './build-package.ts';
import { ARCHITECTURES, type Architecture, ROOT } from './production-modules.ts';

/** `npm run package [-- ARCHITECTURE...]`: the Debian packages, into packages/. */
const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(ARCHITECTURES);
const unknown = wanted.find((name) => !(name in ARCHITECTURES));
if (unknown !== undefined) {
  const known = Object.keys(ARCHITECTURES).join(' and ');
  process.stderr.write(
    `npm run package: there is ${known}, no ${unknown}. npm has no Node 24 for armhf: a Pi wants a ` +
      `system of 64 bits (Pi 3, 4, 5, Zero 2 W).\n`,
  );
  process.exit(64);
}
const folder = join(ROOT, 'packages');
mkdirSync(folder, { recursive: true });
// At once: what compresses has a thread of its own.
await Promise.all(
  wanted.map(async (architecture) => {
    const made = await buildPackage({ architecture: architecture as Architecture });
    const file = join(folder, made.fileName);
    writeFileSync(file, made.bytes);
    const megabytes = (made.bytes.length / 1e6).toFixed(1);
    const installed = (made.installedKilobytes / 1000).toFixed(0);
    const hash = createHash('sha256').update(made.bytes).digest('hex');
    process.stdout.write(`${file}\n  ${megabytes} MB, ${installed} MB installed, sha256 ${hash}\n`);
  }),
);
