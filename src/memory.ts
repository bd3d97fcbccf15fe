import { totalmem } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: {
  readonly type: 'major';
  readonly execution: 'sync';
  readonly flavor: 'last-resort';
}) => void;

/**
 * Collects garbage once and gives the emptied pages back to the system. Meant for the moment when
 * start-up is over: loading and compiling modules leaves a young generation many times as large as
 * an idle agent needs, and V8 would keep it. Takes some 20 ms.
 */
export function returnStartupMemory(): void {
  setFlagsFromString('--expose-gc');
  // The flag takes effect for contexts made after it.
  const collect = runInNewContext('gc') as Collect;
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/**
 * Bytes of memory that this process and what belongs to it may use: of the machine, or of the group that it is
 * in (MemoryMax and MemoryHigh of its unit, a container's limit), whichever is less.
 */
export function usableMemory(): number {
  const bound = process.constrainedMemory();
  // 0: it is not known; without a bound it is a number beyond every machine.
  return bound > 0 ? Math.min(bound, totalmem()) : totalmem();
}
