import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  deviceName,
  findDeviceOf,
  kernelSource,
  parseBlockStat,
  parseProcessIo,
  readBootId,
  readCounts,
} from '../../src/agent/wear-files.ts';

const IO = 'rchar: 10\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 0\nwrite_bytes: 81920\n';
const STAT = '  207683 14157 6555890 96434 3463891 427656 83641088 727716 0 264912 945697 470888\n';

describe('the kernel’s files', () => {
  test('/proc/self/io: what was written, less what was thrown away again', () => {
    expect(parseProcessIo(`${IO}cancelled_write_bytes: 4096\n`)).toBe(77_824);
    expect(parseProcessIo(IO)).toBe(81_920);
    expect(parseProcessIo('write_bytes: 1\ncancelled_write_bytes: 4096\n')).toBe(0);
    expect(parseProcessIo('')).toBeUndefined();
    expect(parseProcessIo('write_bytes: many\n')).toBeUndefined();
  });

  test('a block device’s stat: sectors written are always of 512 bytes', () => {
    expect(parseBlockStat(STAT)).toBe(83_641_088 * 512);
    expect(parseBlockStat('')).toBeUndefined();
    expect(parseBlockStat('1 2 3')).toBeUndefined();
    expect(parseBlockStat('1 2 3 4 5 6 x')).toBeUndefined();
  });

  test('device numbers, as large as they get', () => {
    expect(deviceName(0xfe00n)).toBe('254:0');
    expect(deviceName(0xb302n)).toBe('179:2'); // mmcblk0p2
    expect(deviceName(0x2dn)).toBe('0:45');
    const [major, minor] = [0x12345n, 0x6789abn];
    const low = ((major & 0xfffn) << 8n) | (minor & 0xffn);
    const high = ((major & ~0xfffn) << 32n) | ((minor & ~0xffn) << 12n);
    expect(deviceName(high | low)).toBe([0x12345, 0x6789ab].join(':'));
  });
});

/** A /sys and a /proc as the kernel lays them out. */
describe('the device that holds a folder', () => {
  let root: string;
  let kernel: { proc: string; sys: string };
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'gatelog-wear-'));
    kernel = { proc: join(root, 'proc'), sys: join(root, 'sys') };
    mkdirSync(join(kernel.sys, 'dev/block'), { recursive: true });
    mkdirSync(join(kernel.sys, 'class/block'), { recursive: true });
    mkdirSync(join(kernel.proc, 'self'), { recursive: true });
  });
  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });

  function device(number: string, path: string, files: Record<string, string> = {}): void {
    const folder = join(kernel.sys, 'devices', path);
    mkdirSync(folder, { recursive: true });
    symlinkSync(folder, join(kernel.sys, 'dev/block', number));
    symlinkSync(folder, join(kernel.sys, 'class/block', path.split('/').at(-1) ?? ''));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  }

  function slave(of: string, below: string): void {
    const folder = join(kernel.sys, 'devices', of, 'slaves');
    mkdirSync(folder, { recursive: true });
    symlinkSync(join(kernel.sys, 'devices', below), join(folder, below.split('/').at(-1) ?? ''));
  }

  test('a partition, and the whole card', async () => {
    device('179:0', 'mmc/mmcblk0', { stat: '0 0 0 0 0 0 300' });
    device('179:2', 'mmc/mmcblk0/mmcblk0p2', { stat: '0 0 0 0 0 0 200', partition: '2\n' });
    writeFileSync(join(kernel.proc, 'self/io'), IO);
    const found = await findDeviceOf('179:2', kernel);
    expect(found).toEqual({ volume: 'mmcblk0p2', disk: 'mmcblk0' });
    expect(await readCounts(found, kernel)).toEqual({
      processBytes: 81_920,
      volumeBytes: 200 * 512,
      diskBytes: 300 * 512,
    });
  });

  test('a disk without partitions', async () => {
    device('254:0', 'virtio1/block/vda');
    expect(await findDeviceOf('254:0', kernel)).toEqual({ volume: 'vda', disk: 'vda' });
  });

  test('an encrypted volume on a partition: the card below it', async () => {
    device('179:0', 'mmc/mmcblk0');
    device('179:2', 'mmc/mmcblk0/mmcblk0p2', { partition: '2\n' });
    device('252:1', 'virtual/dm-1');
    device('252:0', 'virtual/dm-0');
    slave('virtual/dm-1', 'virtual/dm-0');
    slave('virtual/dm-0', 'mmc/mmcblk0/mmcblk0p2');
    expect(await findDeviceOf('252:1', kernel)).toEqual({ volume: 'dm-1', disk: 'mmcblk0' });
  });

  test('a volume over two disks is as far as can be told', async () => {
    device('8:0', 'sda');
    device('8:16', 'sdb');
    device('252:0', 'virtual/dm-0');
    slave('virtual/dm-0', 'sda');
    slave('virtual/dm-0', 'sdb');
    expect(await findDeviceOf('252:0', kernel)).toEqual({ volume: 'dm-0', disk: 'dm-0' });
  });

  test.each(['overlay', 'tmpfs', 'zfs', 'btrfs'])('%s: unknown, and said so', async (kind) => {
    const line = `36 25 0:45 / /data rw,relatime shared:1 - ${kind} x rw`;
    writeFileSync(join(kernel.proc, 'self/mountinfo'), `1 1 8:1 / / rw - ext4 x rw\n${line}\n`);
    const found = await findDeviceOf('0:45', kernel);
    expect(found).toEqual({
      unknown: `the data folder is on ${kind}, which is no block device of its own`,
    });
    expect(await readCounts(found, kernel)).toEqual({
      processBytes: undefined,
      volumeBytes: undefined,
      diskBytes: undefined,
    });
  });

  test('a kernel that tells nothing', async () => {
    expect(await findDeviceOf('0:45', kernel)).toHaveProperty('unknown');
    expect(await readBootId(kernel)).toBe('');
  });
});

test.runIf(process.platform === 'linux')(
  'the real files count what is really written',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gatelog-wear-'));
    try {
      const source = await kernelSource(folder);
      const before = await source.read();
      const file = join(folder, 'file');
      writeFileSync(file, Buffer.alloc(1_000_000, 1));
      execFileSync('sync', [file]);
      const after = await source.read();
      const grown = (after.processBytes ?? 0) - (before.processBytes ?? 0);
      // tmpfs counts nothing, and is no device either.
      if ('unknown' in source.device) return;
      expect(grown).toBeGreaterThanOrEqual(1_000_000);
      expect((after.diskBytes ?? 0) - (before.diskBytes ?? 0)).toBeGreaterThanOrEqual(1_000_000);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
