import { readFileSync } from 'node:fs';

/**
 * What the kernel says in a file of /proc or /sys whose text it has in memory; undefined: nothing. At once: no disk can
 * keep it waiting, and by way of libuv's threads each look would wake them ten times. Not for what asks a device first,
 * such as a sensor of temperature.
 */
export function kernelText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
