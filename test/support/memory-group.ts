import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessSpec } from './process.ts';

const ROOT = '/sys/fs/cgroup';
const V1 = join(ROOT, 'memory');

/** What a group used, in bytes. */
export interface MemoryUse {
  /** Of processes alone: what nobody can take back. */
  readonly anonymous: number;
  /** With the files that the kernel remembers for them, up to the limit. */
  readonly total: number;
}

/** Memory that some processes may have together, as `MemoryMax=` of a unit: a cgroup. Wants root. */
export class MemoryGroup {
  readonly #folder: string;
  readonly #isV1: boolean;
  #peak = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(folder: string, isV1: boolean) {
    this.#folder = folder;
    this.#isV1 = isV1;
  }

  static make(name: string, maxBytes: number): MemoryGroup {
    const isV1 = existsSync(join(V1, 'memory.limit_in_bytes'));
    const folder = join(isV1 ? V1 : ROOT, name);
    if (!isV1) writeFileSync(join(ROOT, 'cgroup.subtree_control'), '+memory');
    mkdirSync(folder);
    const file = isV1 ? 'memory.limit_in_bytes' : 'memory.max';
    writeFileSync(join(folder, file), String(maxBytes));
    if (!isV1) writeFileSync(join(folder, 'memory.swap.max'), '0');
    return new MemoryGroup(folder, isV1);
  }

  /** The same process, in the group from its first instruction on. */
  enter({ command, args = [], ...rest }: ProcessSpec): ProcessSpec {
    const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
    return { ...rest, command: '/bin/sh', args: ['-c', script, this.#folder, command, ...args] };
  }

  use(): MemoryUse {
    const stat = readFileSync(join(this.#folder, 'memory.stat'), 'utf8');
    const field = this.#isV1 ? 'total_rss' : 'anon';
    const anonymous = Number(new RegExp(`^${field} (\\d+)$`, 'mu').exec(stat)?.[1]);
    const file = this.#isV1 ? 'memory.usage_in_bytes' : 'memory.current';
    return { anonymous, total: Number(readFileSync(join(this.#folder, file), 'utf8')) };
  }

  /** Processes that the kernel ended for want of memory. */
  killed(): number {
    const file = this.#isV1 ? 'memory.oom_control' : 'memory.events';
    const text = readFileSync(join(this.#folder, file), 'utf8');
    return Number(/^oom_kill (\d+)$/mu.exec(text)?.[1]);
  }

  watch(): void {
    this.#timer = setInterval(() => {
      this.#peak = Math.max(this.#peak, this.use().anonymous);
    }, 20);
  }

  /** Anonymous bytes at most, since the last time that this was asked. */
  takePeak(): number {
    const peak = this.#peak;
    this.#peak = 0;
    return peak;
  }

  /** Its processes have ended. */
  remove(): void {
    clearInterval(this.#timer);
    rmdirSync(this.#folder);
  }
}
