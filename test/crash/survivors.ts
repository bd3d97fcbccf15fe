import { readdirSync, readFileSync } from 'node:fs';

const GONE_WITHIN_MS = 10_000;

/**
 * When the power goes, every process goes: kills those that a dead one left behind, known by a
 * variable of their environment that nobody else has, and waits until they are gone.
 */
export function killSurvivors(variable: string): void {
  const untilMs = performance.now() + GONE_WITHIN_MS;
  for (;;) {
    const pids = withVariable(variable);
    if (pids.length === 0) return;
    if (performance.now() > untilMs) throw new Error(`processes that do not die: ${pids.join()}`);
    for (const pid of pids) kill(pid);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
  }
}

function withVariable(variable: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .filter((pid) => environmentOf(pid).includes(variable))
    .map(Number);
}

/** Empty for a process that is dead, or not ours. */
function environmentOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It went by itself.
  }
}
