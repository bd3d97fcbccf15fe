import { PassThrough } from 'node:stream';
import type { CliContext } from '../../src/cli/context.ts';
import { seededRandom } from '../../src/random.ts';
import { systemClock } from '../../src/time.ts';

/** What commands print for a person without colours; nobody looks at the streams. */
export const PLAIN_CONTEXT: CliContext = {
  stdout: new PassThrough(),
  stderr: new PassThrough(),
  env: {},
  workingFolder: '/',
  clock: systemClock,
  random: seededRandom(1),
  version: '0',
  exitCode: 0,
};
