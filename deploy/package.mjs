/** `npm run package`: installs and builds what is missing, then makes the Debian packages. */
import { join } from 'node:path';
import { ensureBuilt, ensureModules, fail, lockedNode, ROOT, run } from './prepare.mjs';

try {
  await ensureModules();
  await ensureBuilt();
  const main = join(ROOT, 'deploy', 'package', 'main.ts');
  process.exitCode = await run(lockedNode(), [main, ...process.argv.slice(2)]);
} catch (error) {
  fail(error);
}
