import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { KernelFolders } from '../agent/wear-files.ts';

/** What the control group of a process, and those above it, allow it of memory. */
export interface MemoryGroup {
  /** The narrowest; undefined: there is none. */
  readonly maxBytes: number | undefined;
  /** From where on it is slowed (version 2 only). */
  readonly highBytes: number | undefined;
  /** Processes that the kernel ended for it since the group was made. */
  readonly kills: number;
}

/** Version 1 says "no bound" with the largest multiple of a page. */
const NO_BOUND_BYTES = 2 ** 60;

/** cgroups(7): version 2 by itself, or the memory controller of version 1. */
export async function memoryGroup(
  pid: number | 'self',
  { proc, sys }: KernelFolders,
): Promise<MemoryGroup> {
  const groups = (await textOf(path.join(proc, String(pid), 'cgroup'))) ?? '';
  const old = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/mu.exec(groups)?.[1];
  const isOld = old !== undefined;
  const own = old ?? /^0::(.*)$/mu.exec(groups)?.[1];
  if (own === undefined) return { maxBytes: undefined, highBytes: undefined, kills: 0 };
  const root = path.join(sys, 'fs/cgroup', isOld ? 'memory' : '');
  const max: number[] = [];
  const high: number[] = [];
  let kills = 0;
  for (let here = own; ; here = path.posix.dirname(here)) {
    const text = (name: string): Promise<string | undefined> => textOf(path.join(root, here, name));
    max.push(...boundIn(await text(isOld ? 'memory.limit_in_bytes' : 'memory.max')));
    if (!isOld) high.push(...boundIn(await text('memory.high')));
    if (here === own) {
      kills = killsIn((await text(isOld ? 'memory.oom_control' : 'memory.events')) ?? '');
    }
    if (here === '/' || here === '.') break;
  }
  return { maxBytes: least(max), highBytes: least(high), kills };
}

function boundIn(text: string | undefined): number[] {
  const bytes = Number(text?.trim());
  return Number.isFinite(bytes) && bytes > 0 && bytes < NO_BOUND_BYTES ? [bytes] : [];
}

function killsIn(text: string): number {
  return Number(/^oom_kill (\d+)$/mu.exec(text)?.[1] ?? 0);
}

function least(bounds: readonly number[]): number | undefined {
  return bounds.length === 0 ? undefined : Math.min(...bounds);
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
}
