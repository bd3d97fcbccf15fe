import { readFileSync } from 'node:fs';

/**
 * The machine's present life: its id and its own monotonic time, both the same for every process
 * of it. By them the records of one boot are told apart in time, whatever the wall clock does.
 */
export interface Boot {
  /** Random, made anew with every boot of the kernel. */
  readonly id: string;
  /** Milliseconds since the boot. */
  monotonicMs(): number;
  /** Looks how long the machine slept. Without it time asleep does not count. */
  renew?(): void;
}

/** /proc/uptime counts hundredths, and is read a moment later: what is shorter is no sleep. */
const SLEEP_MS = 1000;

/**
 * Linux's boot id and CLOCK_MONOTONIC, which Node hands out as `process.hrtime`, plus the time
 * asleep, which only /proc/uptime (CLOCK_BOOTTIME) counts. A container whose own uptime is shown
 * there (lxcfs) has less of it than the kernel: then nothing is added. undefined where there is no
 * /proc: then every process is a boot of its own.
 */
export function systemBoot(): Boot | undefined {
  const id = textOf('/proc/sys/kernel/random/boot_id')?.trim();
  if (id === undefined || id === '') return undefined;
  let asleepMs = 0;
  const renew = (): void => {
    const uptimeMs = Number(textOf('/proc/uptime')?.split(' ')[0]) * 1000;
    const aheadMs = uptimeMs - awakeMs();
    if (aheadMs > asleepMs + SLEEP_MS) asleepMs = aheadMs;
  };
  renew();
  return { id, monotonicMs: () => awakeMs() + asleepMs, renew };
}

function awakeMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
