/**
 * The end of `npm run build`: makes dist/main.js executable (the compiler does not), and lets
 * `npx gatelog` find it. `npm ci` runs this too (`prepare`), before there is a build: then the
 * command says what to do.
 */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD_STAMP, NODE_ENVIRONMENT, NODE_FLAGS, ROOT } from './prepare.mjs';

const EXPORTS = Object.entries(NODE_ENVIRONMENT)
  .map(([name, value]) => `${name}=${value}`)
  .join(' ');
const COMMAND = `#!/bin/sh
# Made by deploy/finish-build.mjs: the command gatelog of this checkout.
here=$(dirname "$0")
main="$here/../../dist/main.js"
if [ ! -f "$main" ]; then
  echo "gatelog: this checkout is not built yet; run: npm run build" >&2
  exit 78
fi
export ${EXPORTS}
if [ -x "$here/node" ]; then exec "$here/node" ${NODE_FLAGS.join(' ')} "$main" "$@"; fi
exec node ${NODE_FLAGS.join(' ')} "$main" "$@"
`;

const bin = join(ROOT, 'node_modules', '.bin');
mkdirSync(bin, { recursive: true });
writeFileSync(join(bin, 'gatelog'), COMMAND);
chmodSync(join(bin, 'gatelog'), 0o755);

const main = join(ROOT, 'dist', 'main.js');
if (existsSync(main)) {
  chmodSync(main, 0o755);
  writeFileSync(BUILD_STAMP, '');
}
