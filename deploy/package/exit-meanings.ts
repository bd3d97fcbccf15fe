import type { ErrorCode } from '../../src/errors.ts';

/** What the manual says of exit codes: each with one of the codes that give it. */
const MEANINGS: readonly (readonly [code: ErrorCode | number, meaning: string])[] = [
  [0, 'Done; of a command that examines: nothing is wrong.'],
  ['VERIFY_FAILED', 'It examined, and found something.'],
  ['USAGE', 'It was called wrongly.'],
  ['STORE_FOREIGN', 'The data folder is another gateway’s, or an export file is damaged.'],
  ['NOT_FOUND', 'A topic, mirror, partition or folder that was named is not there.'],
  ['AGENT_NOT_RUNNING', 'No agent runs there, or the far side can’t be reached.'],
  ['INTERNAL', 'A fault of gatelog, or a refusal of the far side.'],
  ['STORE_FULL', 'The disk is full.'],
  ['STORE_MISSING', 'The data folder, which has to be there, is not: its disk is not mounted.'],
  ['STORE_READ_ONLY', 'The data folder can’t be written: its disk is mounted read-only.'],
  ['STORE_FAILING', 'The disk does not read or write.'],
  ['STORE_LOCKED', 'Another process has the data folder, or an address to listen on.'],
  ['STORE_FORMAT_NEWER', 'A newer gatelog wrote the data folder.'],
  ['STORE_FORBIDDEN', 'This user may not read or write there, or the far side refuses the login.'],
  ['CONFIG_INVALID', 'The configuration is wrong; the message says where.'],
];

export function exitMeanings(
  exitCodeOf: (code: ErrorCode) => number,
): (readonly [code: number, meaning: string])[] {
  return MEANINGS.map(([code, meaning]) => [
    typeof code === 'number' ? code : exitCodeOf(code),
    meaning,
  ]);
}
