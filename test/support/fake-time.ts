import { globSync, writeFileSync } from 'node:fs';

/** The library for programs with threads. Not asked of faketime's wrapper, which wants room in /dev/shm. */
function library(): string {
  const [found] = globSync('/usr/lib{,/*}/faketime/libfaketimeMT.so.1');
  if (found === undefined) throw new Error('libfaketime (Debian: faketime) is not installed');
  return found;
}

/** The wall clock of a process, set from outside while it runs; its monotonic clock is the real one. */
export class FakeTime {
  readonly #file: string;
  readonly env: Readonly<Record<string, string>>;

  constructor(file: string, aheadMs: number) {
    this.#file = file;
    this.set(aheadMs);
    this.env = {
      LD_PRELOAD: library(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    };
  }

  /** Followed within a second. */
  set(aheadMs: number): void {
    writeFileSync(this.#file, `${aheadMs < 0 ? '-' : '+'}${Math.abs(aheadMs) / 1000}\n`);
  }
}
