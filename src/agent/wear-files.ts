import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { kernelText } from '../kernel-text.ts';

/**
 * The kernel's own counts of what was written (proc(5), Documentation/block/stat.rst). Where it
 * keeps none the answer is `unknown` and why: never a guess.
 */
export interface BlockDevice {
  /** What the file system is on, such as mmcblk0p2, and the whole disk, such as mmcblk0. */
  readonly volume: string;
  readonly disk: string;
}

export interface WrittenCounts {
  /** undefined: the kernel does not tell. */
  readonly processBytes: number | undefined;
  readonly volumeBytes: number | undefined;
  readonly diskBytes: number | undefined;
}

export type DeviceFinding = BlockDevice | { readonly unknown: string };

/** Where the figures come from; files of the kernel unless a test says otherwise. */
export interface WearSource {
  readonly device: DeviceFinding;
  readonly bootId: string;
  read(): Promise<WrittenCounts>;
}

/** For tests: where /proc and /sys are. */
export interface KernelFolders {
  readonly proc: string;
  readonly sys: string;
}

export const KERNEL: KernelFolders = { proc: '/proc', sys: '/sys' };
/** Of /sys/block/…/stat, whatever the device's own sectors are. */
const SECTOR_BYTES = 512;
const SECTORS_WRITTEN_FIELD = 6;
/** Device mappings on top of each other that are looked through. */
const MAX_MAPPINGS = 8;

/** write_bytes less cancelled_write_bytes of /proc/self/io; undefined when it is not that. */
export function parseProcessIo(text: string): number | undefined {
  const field = (name: string): number | undefined => {
    const digits = new RegExp(`^${name}: (\\d+)$`, 'mu').exec(text)?.[1];
    return digits === undefined ? undefined : Number(digits);
  };
  const written = field('write_bytes');
  if (written === undefined) return undefined;
  return Math.max(0, written - (field('cancelled_write_bytes') ?? 0));
}

/** Bytes written, of a block device's `stat` file; undefined when it is none. */
export function parseBlockStat(text: string): number | undefined {
  const field = text.trim().split(/\s+/u)[SECTORS_WRITTEN_FIELD];
  return field === undefined || !/^\d+$/u.test(field) ? undefined : Number(field) * SECTOR_BYTES;
}

/** A device number as stat(2) gives it → `major:minor`. */
export function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

export async function findDevice(
  folder: string,
  kernel: KernelFolders = KERNEL,
): Promise<DeviceFinding> {
  let name: string;
  try {
    name = deviceName((await stat(folder, { bigint: true })).dev);
  } catch {
    return { unknown: 'the data folder can’t be looked at' };
  }
  return findDeviceOf(name, kernel);
}

/** `name` as `major:minor`. */
export async function findDeviceOf(
  name: string,
  kernel: KernelFolders = KERNEL,
): Promise<DeviceFinding> {
  let path: string;
  try {
    path = await realpath(join(kernel.sys, 'dev/block', name));
  } catch {
    const kind = await fileSystemOf(name, kernel);
    return { unknown: `the data folder is on ${kind}, which is no block device of its own` };
  }
  return { volume: basename(path), disk: basename(await diskBelow(path)) };
}

/** From a partition to its disk, and through mappings (LUKS, LVM) that have one device below. */
async function diskBelow(path: string): Promise<string> {
  for (let depth = 0, here = path; ; depth++) {
    const isPartition = kernelText(join(here, 'partition')) !== undefined;
    const disk = isPartition ? dirname(here) : here;
    const [below, ...more] = await readdir(join(disk, 'slaves')).catch(() => []);
    if (below === undefined || more.length > 0 || depth === MAX_MAPPINGS) return disk;
    here = await realpath(join(disk, 'slaves', below));
  }
}

async function fileSystemOf(name: string, { proc }: KernelFolders): Promise<string> {
  const mounts = kernelText(join(proc, 'self/mountinfo')) ?? '';
  for (const line of mounts.split('\n')) {
    const [, , device] = line.split(' ');
    const kind = / - (\S+)/u.exec(line)?.[1];
    if (device === name && kind !== undefined) return kind;
  }
  return 'a file system without a device';
}

export async function readCounts(
  device: DeviceFinding,
  { proc, sys }: KernelFolders = KERNEL,
): Promise<WrittenCounts> {
  const block = (name: string): number | undefined =>
    parseBlockStat(kernelText(join(sys, 'class/block', name, 'stat')) ?? '');
  const known = 'unknown' in device ? undefined : device;
  return {
    processBytes: parseProcessIo(kernelText(join(proc, 'self/io')) ?? ''),
    volumeBytes: known === undefined ? undefined : block(known.volume),
    diskBytes: known === undefined ? undefined : block(known.disk),
  };
}

/** What the kernel tells of the data folder, which MUST be there. */
export async function kernelSource(folder: string): Promise<WearSource> {
  const device = await findDevice(folder);
  return { device, bootId: await readBootId(), read: () => readCounts(device) };
}

/** Changes with every start of the machine, and with it every count begins anew. */
export async function readBootId({ proc }: KernelFolders = KERNEL): Promise<string> {
  return (kernelText(join(proc, 'sys/kernel/random/boot_id')) ?? '').trim();
}
