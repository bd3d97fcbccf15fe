import { createHash } from 'node:crypto';
import { ARCHITECTURES, type Architecture } from '../../deploy/package/production-modules.ts';
import { quickPackage } from './built-packages.ts';

/** A program of reproducible.test.ts: prints the hash of each package of the checkout that it stands in. */
for (const architecture of Object.keys(ARCHITECTURES) as Architecture[]) {
  const { bytes, fileName } = await quickPackage({ architecture });
  process.stdout.write(`${fileName} ${createHash('sha256').update(bytes).digest('hex')}\n`);
}
