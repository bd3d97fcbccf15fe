import { writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

/** The library's path as faketime's own wrapper hands it on: the one for programs with threads. */
function library(): string {
  const { stdout } = spawnSync('faketime', ['-m', '-f', '+0', 'env'], { encoding: 'utf8' });
  const found = /^LD_PRELOAD=(.+)$/mu.exec(stdout ?? '')?.[1];
  if (found === undefined) throw new Error('faketime (Debian: faketime) is not installed');
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
