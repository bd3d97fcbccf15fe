import { readdir } from 'node:fs/promises';
import { kernelText } from '../kernel-text.ts';

/** This process, as the kernel and V8 count it. null: they do not tell. Bytes and seconds. */
export interface ProcessFigures {
  readonly cpuSeconds: number;
  /** How long the event loop was not waiting. */
  readonly busySeconds: number;
  readonly residentBytes: number;
  /** Of its own: what is not in files. */
  readonly anonymousBytes: number | null;
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly openFiles: number | null;
  readonly openFilesMax: number | null;
}

export async function processFigures(): Promise<ProcessFigures> {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const status = kernelText('/proc/self/status') ?? '';
  const limits = kernelText('/proc/self/limits') ?? '';
  const files = await readdir('/proc/self/fd').catch(() => undefined);
  const kilobytes = numberIn(status, /^RssAnon:\s+(\d+) kB$/mu);
  return {
    cpuSeconds: (user + system) / 1e6,
    busySeconds: performance.eventLoopUtilization().active / 1000,
    residentBytes: rss,
    anonymousBytes: kilobytes === null ? null : kilobytes * 1024,
    heapBytes: heapUsed,
    externalBytes: external,
    openFiles: files?.length ?? null,
    openFilesMax: numberIn(limits, /^Max open files\s+(\d+)/mu),
  };
}

function numberIn(text: string, pattern: RegExp): number | null {
  const [, digits] = pattern.exec(text) ?? [];
  return digits === undefined ? null : Number(digits);
}
