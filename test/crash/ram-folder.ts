import { accessSync, constants, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

const RAM = '/dev/shm';
/** Three campaigns side by side take a third of it where the machine is slow. */
const ENOUGH_BYTES = 3_000_000_000;

/**
 * Where campaigns run whose syncs are simulated: in memory if there is room, so that how busy the
 * machine's disk is decides nothing.
 */
export function ramFolder(): string {
  try {
    accessSync(RAM, constants.W_OK);
    const { bavail, bsize } = statfsSync(RAM);
    return bavail * bsize > ENOUGH_BYTES ? RAM : tmpdir();
  } catch {
    return tmpdir(); // No such place on this system.
  }
}
