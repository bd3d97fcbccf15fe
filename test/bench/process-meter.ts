import { readdirSync, readFileSync } from 'node:fs';

/** What the kernel counts of a process, all of its threads. */
export interface ProcessCounts {
  readonly atMs: number;
  /** Time on a core. */
  readonly cpuMs: number;
  /** Times that a thread had slept and was woken. */
  readonly wakeups: ReadonlyMap<string, number>;
}

export interface ProcessRates {
  readonly seconds: number;
  readonly cpuPercent: number;
  readonly wakeupsPerSecond: number;
  /** By the name of the thread, the busiest first. */
  readonly byThread: readonly (readonly [name: string, perSecond: number])[];
}

const TICK_MS = 10;

/** Processor time of the process is told in ticks, of each thread in nanoseconds where the kernel keeps it. */
export function countsOf(pid: number): ProcessCounts {
  const wakeups = new Map<string, number>();
  let cpuNs = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${task}`;
    const status = readFileSync(`${folder}/status`, 'utf8');
    const name = /^Name:\s+(.+)$/mu.exec(status)?.[1] ?? '';
    const switches = Number(/^voluntary_ctxt_switches:\s+(\d+)/mu.exec(status)?.[1] ?? 0);
    wakeups.set(name, (wakeups.get(name) ?? 0) + switches);
    cpuNs += Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]);
  }
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  const ticksMs = (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  return { atMs: performance.now(), cpuMs: cpuNs > 0 ? cpuNs / 1e6 : ticksMs, wakeups };
}

export function ratesBetween(before: ProcessCounts, after: ProcessCounts): ProcessRates {
  const seconds = (after.atMs - before.atMs) / 1000;
  const byThread = [...after.wakeups]
    .map(([name, count]) => [name, (count - (before.wakeups.get(name) ?? 0)) / seconds] as const)
    .filter(([, perSecond]) => perSecond >= 0.05)
    .toSorted(([, one], [, other]) => other - one);
  return {
    seconds,
    cpuPercent: (after.cpuMs - before.cpuMs) / (seconds * 10),
    wakeupsPerSecond: byThread.reduce((sum, [, perSecond]) => sum + perSecond, 0),
    byThread,
  };
}
