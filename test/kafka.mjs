/** `npm run kafka`: installs what is missing, then starts the test suite's Kafka for a person. */
import { join } from 'node:path';
import { ensureModules, fail, lockedNode, ROOT, run } from '../deploy/prepare.mjs';
import { ensureTools } from './setup/tools.mjs';

if (process.argv.length > 2) {
  process.stdout.write(
    'npm run kafka: takes no options; starts a Kafka of three nodes until Ctrl-C\n',
  );
  process.exit(process.argv.includes('--help') ? 0 : 64);
}
try {
  await ensureModules();
  ensureTools(process.env.PATH, ['java', 'mvn', 'openssl']);
  const play = join(ROOT, 'test', 'support', 'kafka', 'play.ts');
  process.exitCode = await run(lockedNode(), [play]);
} catch (error) {
  fail(error);
}
