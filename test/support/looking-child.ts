/** Looks at a data folder until it is ended: node looking-child.ts FOLDER says `looking` when it does. */
import { writeSync } from 'node:fs';
import { systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

const [, , folder = ''] = process.argv;
const options = { folder, clock: systemClock, random: systemRandom, logger: silentLogger };
await openStore({ ...options, readOnly: true });
writeSync(1, 'looking\n');
process.stdin.resume();
