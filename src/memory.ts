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
