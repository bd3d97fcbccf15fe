import { readFile, realpath } from 'node:fs/promises';
import { arch, release, totalmem } from 'node:os';
import path from 'node:path';
import { systemSources } from '../agent/clock-sources.ts';
import { type DeviceFinding, findDevice, KERNEL, type KernelFolders } from '../agent/wear-files.ts';
import { memoryGroup, type MemoryGroup } from './doctor-memory.ts';

/** What the machine tells of itself, as far as it matters to a log: read from the kernel's files. */
export interface MachineFacts {
  /** As in `Raspberry Pi 4 Model B Rev 1.4`; undefined: it has no such name. */
  readonly model: string | undefined;
  readonly system: string | undefined;
  readonly kernel: string;
  readonly arch: string;
  readonly node: string;
  readonly mount: MountFacts | undefined;
  readonly device: DeviceFinding;
  readonly card: CardFacts | undefined;
  readonly memoryBytes: number;
  readonly memoryGroup: MemoryGroup;
  readonly swaps: readonly SwapFacts[];
  /** Files that the agent, or whoever asks, may have open; undefined: not told. */
  readonly openFiles: number | 'unlimited' | undefined;
  readonly settings: KernelSettings;
  readonly hasClockChip: boolean;
  /** Who says what of the clock; undefined: nobody says anything. */
  readonly timeKeeper: { readonly name: string; readonly isSynchronised: boolean } | undefined;
  readonly nameServers: readonly string[];
}

/** Of the file system that a folder is on. */
export interface MountFacts {
  readonly point: string;
  readonly kind: string;
  readonly source: string;
  /** Those of the mount and of the file system. */
  readonly options: readonly string[];
}

/** Of the disk below it, where it tells. */
export interface CardFacts {
  /** As in `mmcblk0`. */
  readonly disk: string;
  /** `SD` or `MMC`; undefined: neither. */
  readonly type: string | undefined;
  readonly name: string | undefined;
  /** Of eMMC (JESD84-B51, DEVICE_LIFE_TIME_EST): the share that is used up, in per cent, at most. */
  readonly usedPercent: number | undefined;
  /** PRE_EOL_INFO: 1 normal, 2 warning, 3 urgent. */
  readonly endOfLife: number | undefined;
}

export interface SwapFacts {
  readonly file: string;
  readonly bytes: number;
}

/** Each undefined where the kernel does not tell. */
export interface KernelSettings {
  readonly overcommitMemory: number | undefined;
  readonly dirtyBytes: number | undefined;
  readonly dirtyRatio: number | undefined;
  readonly swappiness: number | undefined;
}

/** `pid`: of the agent that runs, else of whoever asks. `folder` need not be there yet. */
export async function gatherMachine(
  folder: string,
  pid: number | 'self',
  kernel: KernelFolders = KERNEL,
): Promise<MachineFacts> {
  const { proc } = kernel;
  const there = await nearestThere(folder);
  const device = await findDevice(there, kernel);
  const text = (name: string): Promise<string | undefined> => textOf(path.join(proc, name));
  return {
    model: (await text('device-tree/model'))?.replaceAll('\0', '').trim(),
    system: /^PRETTY_NAME="?([^"\n]*)/mu.exec((await textOf('/etc/os-release')) ?? '')?.[1],
    kernel: release(),
    arch: arch(),
    node: process.version,
    mount: mountOf(there, (await text('self/mountinfo')) ?? ''),
    device,
    card: 'unknown' in device ? undefined : await cardOf(device.disk, kernel),
    memoryBytes: bytesOf('MemTotal', (await text('meminfo')) ?? '') ?? totalmem(),
    memoryGroup: await memoryGroup(pid, kernel),
    swaps: swapsIn((await text('swaps')) ?? ''),
    openFiles: openFilesIn((await text(`${pid}/limits`)) ?? '', pid !== 'self'),
    settings: {
      overcommitMemory: await numberOf(path.join(proc, 'sys/vm/overcommit_memory')),
      dirtyBytes: await numberOf(path.join(proc, 'sys/vm/dirty_bytes')),
      dirtyRatio: await numberOf(path.join(proc, 'sys/vm/dirty_ratio')),
      swappiness: await numberOf(path.join(proc, 'sys/vm/swappiness')),
    },
    hasClockChip: (await textOf(path.join(kernel.sys, 'class/rtc/rtc0/name'))) !== undefined,
    timeKeeper: await timeKeeper(),
    nameServers: nameServersIn((await textOf('/etc/resolv.conf')) ?? ''),
  };
}

/** The first that says something, as the agent asks them. */
async function timeKeeper(): Promise<MachineFacts['timeKeeper']> {
  for (const source of systemSources()) {
    const { says } = await source.ask();
    if (says !== 'nothing') return { name: source.name, isSynchronised: says === 'synchronised' };
  }
  return undefined;
}

/** The folder, or the next above it that is there: what will be made is on the same disk. */
async function nearestThere(folder: string): Promise<string> {
  for (let here = folder; ; here = path.dirname(here)) {
    const real = await realpath(here).catch(() => undefined);
    if (real !== undefined) return real;
    if (here === path.dirname(here)) return here;
  }
}

/** proc_pid_mountinfo(5). The last of those that hold it lies on top. */
export function mountOf(folder: string, mountinfo: string): MountFacts | undefined {
  let found: MountFacts | undefined;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after] = line.split(' - ');
    if (after === undefined) continue;
    const [, , , , escaped = '', own = ''] = before.split(' ');
    const [kind = '', source = '', whole = ''] = after.split(' ');
    const point = unescaped(escaped);
    const holds = folder === point || folder.startsWith(point === '/' ? '/' : `${point}/`);
    if (!holds || point.length < (found?.point.length ?? 0)) continue;
    const options = [...new Set([...own.split(','), ...whole.split(',')])];
    found = { point, kind, source: unescaped(source), options };
  }
  return found;
}

/** Spaces and the like are octal there. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/gu, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  );
}

async function cardOf(disk: string, { sys }: KernelFolders): Promise<CardFacts> {
  const block = path.join(sys, 'class/block', disk);
  const text = async (name: string): Promise<string | undefined> =>
    (await textOf(path.join(block, name)))?.trim();
  const life = (await text('device/life_time')) ?? '';
  const eol = Number.parseInt((await text('device/pre_eol_info')) ?? '', 16);
  return {
    disk,
    type: await text('device/type'),
    name: await text('device/name'),
    usedPercent: usedPercentOf(life),
    endOfLife: eol > 0 ? eol : undefined,
  };
}

/** Two hexadecimal numbers, of the two kinds of memory cells: 1 is up to 10 %, 11 beyond its life. */
export function usedPercentOf(lifeTime: string): number | undefined {
  const steps = lifeTime
    .split(/\s+/u)
    .map((step) => Number.parseInt(step, 16))
    .filter((step) => step > 0);
  return steps.length === 0 ? undefined : Math.max(...steps) * 10;
}

/** proc_swaps(5). What is compressed into memory wears nothing. */
export function swapsIn(text: string): SwapFacts[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/u))
    .filter(([file = '']) => file !== '' && !file.startsWith('/dev/zram'))
    .map(([file = '', , kib]) => ({ file: unescaped(file), bytes: Number(kib) * 1024 }));
}

/** Node raises its own to the hard one when it starts. */
export function openFilesIn(limits: string, isRunning: boolean): MachineFacts['openFiles'] {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/mu.exec(limits) ?? [];
  const bound = isRunning ? soft : hard;
  if (bound === 'unlimited') return bound;
  return Number.isFinite(Number(bound)) ? Number(bound) : undefined;
}

function nameServersIn(text: string): string[] {
  return [...text.matchAll(/^nameserver\s+(\S+)/gmu)].map(([, address = '']) => address);
}

function bytesOf(field: string, meminfo: string): number | undefined {
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB`, 'mu').exec(meminfo)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

async function numberOf(file: string): Promise<number | undefined> {
  const text = (await textOf(file))?.trim();
  return text === undefined || !/^\d+$/u.test(text) ? undefined : Number(text);
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
}
