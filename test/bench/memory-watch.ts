import { readFileSync } from 'node:fs';

export function anonymousKiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/RssAnon:\s+(\d+)/u.exec(status)?.[1] ?? 0);
}

/** The peak of a process's anonymous memory, looked at 50 times a second. */
export class MemoryWatch {
  peakKiB = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      this.peakKiB = Math.max(this.peakKiB, anonymousKiB(pid));
    }, 20);
  }

  stop(): number {
    clearInterval(this.#timer);
    return this.peakKiB;
  }
}
