/**
 * Looks at a data folder as a user who owns nothing, where that can be: node look-child.ts FOLDER
 * prints the codes of what asking the agent, and of what looking at the folder, ended with.
 */
import { writeSync } from 'node:fs';
import { ControlClient } from '../../src/admin/control-client.ts';
import { GatelogError } from '../../src/errors.ts';
import { systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

const NOBODY = 65_534;

const [, , folder = ''] = process.argv;
const options = { folder, clock: systemClock, random: systemRandom, logger: silentLogger };

async function codeOf(task: () => Promise<unknown>): Promise<string> {
  try {
    await task();
    return 'OK';
  } catch (error) {
    return error instanceof GatelogError ? error.code : String(error);
  }
}

// All that is needed is loaded by now: nobody may not be able to read the sources.
if (process.getuid?.() === 0) {
  process.setgroups?.([]);
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
}
const asked = await codeOf(() => new ControlClient(folder).status());
const looked = await codeOf(async () => {
  const store = await openStore({ ...options, readOnly: true });
  await store.close();
});
writeSync(1, `${asked} ${looked}\n`);
