/**
 * `npm start`: installs and builds what is missing, then runs the demo with the given arguments.
 */
import { join } from 'node:path';
import {
  ensureBuilt,
  ensureModules,
  fail,
  lockedNode,
  NODE_ENVIRONMENT,
  NODE_FLAGS,
  ROOT,
  run,
} from './prepare.mjs';

try {
  await ensureModules();
  await ensureBuilt();
  const main = join(ROOT, 'dist', 'main.js');
  process.exitCode = await run(
    lockedNode(),
    [...NODE_FLAGS, main, 'demo', ...process.argv.slice(2)],
    {
      cwd: process.env.INIT_CWD ?? process.cwd(),
      env: { ...process.env, ...NODE_ENVIRONMENT },
    },
  );
} catch (error) {
  fail(error);
}
