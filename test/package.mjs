/** `npm run test:package`: installs and builds what is missing, then tests the Debian packages. Wants root. */
import { delimiter, join } from 'node:path';
import { ensureBuilt, ensureModules, fail, lockedNode, ROOT, run } from '../deploy/prepare.mjs';
import { ensureTools } from './setup/tools.mjs';

try {
  await ensureModules();
  const env = { ...process.env, PATH: `${process.env.PATH}${delimiter}/usr/sbin${delimiter}/sbin` };
  const tools = [
    'dpkg-deb',
    'debootstrap',
    'faketime',
    'qemu-aarch64-static',
    'systemd-nspawn',
    'man',
    'buildah',
  ];
  ensureTools(env.PATH, tools);
  await ensureBuilt();
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--project', 'package', ...process.argv.slice(2)];
  process.exitCode = await run(lockedNode(), args, { env });
} catch (error) {
  fail(error);
}
