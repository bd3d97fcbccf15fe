import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  gatherMachine,
  type MachineFacts,
  mountOf,
  openFilesIn,
  swapsIn,
  usedPercentOf,
} from '../../src/cli/doctor-machine.ts';
import { MACHINE_SECTIONS } from '../../src/cli/doctor-machine-sections.ts';
import { memoryGroup } from '../../src/cli/doctor-memory.ts';

/** What the kernel tells of the machine, from files as a Pi has them, and what doctor makes of it. */
let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'gatelog-machine-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const kernel = (): { proc: string; sys: string } => ({
  proc: path.join(root, 'proc'),
  sys: path.join(root, 'sys'),
});

function put(file: string, text: string): void {
  const whole = path.join(root, file);
  mkdirSync(path.dirname(whole), { recursive: true });
  writeFileSync(whole, text);
}

const MOUNTS = `22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw
40 22 0:30 / /run rw,nosuid - tmpfs tmpfs rw,size=10k
41 22 8:1 / /mnt/a\\040b ro,relatime - ext4 /dev/sda1 rw,data=ordered
42 41 8:2 / /mnt/a\\040b rw,relatime - xfs /dev/sda2 rw
`;

test('the file system that a folder is on: the deepest, and of two on one place the last', () => {
  expect(mountOf('/var/lib/gatelog', MOUNTS)).toMatchObject({ kind: 'ext4', point: '/' });
  expect(mountOf('/run/gatelog', MOUNTS)).toMatchObject({ kind: 'tmpfs' });
  expect(mountOf('/runner', MOUNTS)).toMatchObject({ point: '/' });
  expect(mountOf('/mnt/a b/x', MOUNTS)).toEqual({
    point: '/mnt/a b',
    kind: 'xfs',
    source: '/dev/sda2',
    options: ['rw', 'relatime'],
  });
});

test('small files of the kernel', () => {
  expect(usedPercentOf('0x02 0x01\n')).toBe(20);
  expect(usedPercentOf('0x0b 0x01')).toBe(110);
  expect(usedPercentOf('0x00 0x00')).toBeUndefined();
  const swaps =
    'Filename Type Size Used Priority\n/var/swap file 102396 0 -2\n/dev/zram0 partition 9 0 5\n';
  expect(swapsIn(swaps)).toEqual([{ file: '/var/swap', bytes: 102_396 * 1024 }]);
  const limits =
    'Limit  Soft  Hard  Units\nMax open files            1024       65536      files\n';
  expect([openFilesIn(limits, true), openFilesIn(limits, false)]).toEqual([1024, 65_536]);
  expect(openFilesIn(limits.replace('65536', 'unlimited'), false)).toBe('unlimited');
  expect(openFilesIn('', true)).toBeUndefined();
});

test('memory bounds: of both versions of control groups, and of those above', async () => {
  put('proc/7/cgroup', '0::/system.slice/gatelog.service\n');
  put('sys/fs/cgroup/system.slice/gatelog.service/memory.max', 'max\n');
  put('sys/fs/cgroup/system.slice/gatelog.service/memory.high', '157286400\n');
  put('sys/fs/cgroup/system.slice/gatelog.service/memory.events', 'low 0\noom 2\noom_kill 2\n');
  put('sys/fs/cgroup/system.slice/memory.max', '268435456\n');
  const found = { maxBytes: 268_435_456, highBytes: 157_286_400, kills: 2 };
  expect(await memoryGroup(7, kernel())).toEqual(found);
  put('proc/8/cgroup', '9:cpu:/x\n8:memory:/docker/abc\n0::/\n');
  put('sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes', '9223372036854771712\n');
  put('sys/fs/cgroup/memory/memory.limit_in_bytes', '104857600\n');
  const old = { maxBytes: 104_857_600, highBytes: undefined, kills: 0 };
  expect(await memoryGroup(8, kernel())).toEqual(old);
});

test('an eMMC under a partition: its wear, and that it nears its end', async () => {
  const disk = path.join(root, 'sys/devices/mmcblk9');
  mkdirSync(path.join(disk, 'mmcblk9p1'), { recursive: true });
  writeFileSync(path.join(disk, 'mmcblk9p1/partition'), '1\n');
  put('sys/devices/mmcblk9/device/life_time', '0x0a 0x03\n');
  put('sys/devices/mmcblk9/device/pre_eol_info', '0x02\n');
  put('sys/devices/mmcblk9/device/type', 'MMC\n');
  put('sys/devices/mmcblk9/device/name', 'DG4016\n');
  mkdirSync(path.join(root, 'sys/class/block'), { recursive: true });
  symlinkSync(disk, path.join(root, 'sys/class/block/mmcblk9'));
  const { deviceName } = await import('../../src/agent/wear-files.ts');
  const { stat } = await import('node:fs/promises');
  const name = deviceName((await stat(root, { bigint: true })).dev);
  mkdirSync(path.join(root, 'sys/dev/block'), { recursive: true });
  symlinkSync(path.join(disk, 'mmcblk9p1'), path.join(root, 'sys/dev/block', name));
  const machine = await gatherMachine(path.join(root, 'not/there/yet'), 'self', kernel());
  const told = sectionsOf(machine).find(({ title }) => title === 'card');
  expect(told?.lines).toEqual([
    'mmcblk9 (MMC DG4016): up to 100 % of its life is used up, and most of its spare blocks are gone',
  ]);
  expect(told?.findings).toEqual([expect.stringMatching(/replace it soon/u)]);
});

const SOUND: MachineFacts = {
  model: 'Raspberry Pi 4 Model B Rev 1.4',
  system: 'Debian GNU/Linux 13',
  kernel: '6.12',
  arch: 'arm64',
  node: 'v24',
  mount: { point: '/', kind: 'ext4', source: '/dev/mmcblk0p2', options: ['rw', 'noatime'] },
  device: { volume: 'mmcblk0p2', disk: 'mmcblk0' },
  card: {
    disk: 'mmcblk0',
    type: 'SD',
    name: 'SC16G',
    usedPercent: undefined,
    endOfLife: undefined,
  },
  memoryBytes: 2 ** 30,
  memoryGroup: { maxBytes: undefined, highBytes: undefined, kills: 0 },
  swaps: [],
  openFiles: 65_536,
  settings: { overcommitMemory: 0, dirtyBytes: 0, dirtyRatio: 20, swappiness: 60 },
  hasClockChip: false,
  timeKeeper: { name: 'chrony', isSynchronised: true },
  nameServers: ['10.0.0.1'],
};

function sectionsOf(machine: MachineFacts): ReturnType<(typeof MACHINE_SECTIONS)[number]>[] {
  return MACHINE_SECTIONS.map((section) => section({ machine, maxConnections: undefined }));
}

test('a sound machine: nothing is found, and nothing advised', () => {
  const sections = sectionsOf(SOUND);
  expect(sections.flatMap(({ findings, advice = [] }) => [...findings, ...advice])).toEqual([]);
});

const mounted = (kind: string, ...options: string[]): Partial<MachineFacts> => ({
  mount: { point: '/', kind, source: 'x', options },
});

test.each<readonly [string, Partial<MachineFacts>, RegExp]>([
  ['memory', mounted('tmpfs', 'rw'), /a power cut takes the whole log/u],
  ['read-only', mounted('ext4', 'ro'), /mounted read-only/u],
  ['without barriers', mounted('ext4', 'rw', 'nobarrier'), /barriers are off/u],
  ['a share', mounted('nfs4', 'rw'), /network file system/u],
  [
    'killed for memory',
    { memoryGroup: { maxBytes: 2 ** 28, highBytes: undefined, kills: 1 } },
    /the kernel ended 1 process of its control group.*MemoryMax/u,
  ],
])('found: %s', (_, changes, text) => {
  const findings = sectionsOf({ ...SOUND, ...changes }).flatMap((section) => section.findings);
  expect(findings).toEqual([expect.stringMatching(text)]);
});

test.each<readonly [string, Partial<MachineFacts>, RegExp]>([
  ['a container', mounted('overlay', 'rw'), /mount a volume/u],
  ['a stick', mounted('vfat', 'rw'), /no journal of its own/u],
  ['sync', mounted('ext4', 'rw', 'sync'), /the card lasts longer/u],
  ['strictatime', mounted('ext4', 'rw', 'strictatime'), /noatime/u],
  ['little memory', { memoryBytes: 100 * 1_048_576 }, /is little for an agent under load/u],
  [
    'swap on the card',
    { swaps: [{ file: '/var/swap', bytes: 1 }] },
    /zram, or none, until then vm/u,
  ],
  [
    'a clock that is not set',
    { timeKeeper: { name: 'systemd-timesyncd', isSynchronised: false } },
    /systemd-timesyncd has not set the clock yet/u,
  ],
  ['nobody who knows the time', { timeKeeper: undefined }, /install chrony/u],
  ['few files', { openFiles: 1024 }, /enough for some 512 connections: raise LimitNOFILE/u],
  ['much unwritten', { memoryBytes: 8 * 2 ** 30 }, /vm\.dirty_bytes=67108864/u],
  [
    'no overcommit',
    { settings: { ...SOUND.settings, overcommitMemory: 2 } },
    /vm\.overcommit_memory=2/u,
  ],
])('advised: %s', (_, changes, text) => {
  const sections = sectionsOf({ ...SOUND, ...changes });
  expect(sections.flatMap(({ advice = [] }) => advice)).toEqual([expect.stringMatching(text)]);
  expect(sections.flatMap(({ findings }) => findings)).toEqual([]);
});
