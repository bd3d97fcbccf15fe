import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeSmallDisk, type SmallDisk } from '../support/disk/small-disk.ts';
import { runChecked } from '../support/process.ts';
import { InstalledService } from './installed-service.ts';

/** What the watchdog makes of disks: one that never answers ends in a restart, one that says no does not. */
const MIB = 1_048_576;
const WATCHDOG = 'WatchdogSec=6s';

let work: string;
let disk: SmallDisk;
let service: InstalledService;

beforeAll(async () => {
  work = mkdtempSync(`${tmpdir()}/gatelog-systemd-`);
  disk = await makeSmallDisk(work, 'ext4', 160 * MIB);
  service = await InstalledService.install(disk.folder);
  service.configure([], 'store: {reserve: 4MiB}');
  await service.dropIn([WATCHDOG, 'RestartSec=500ms']);
}, 600_000);

afterAll(async () => {
  await service?.remove();
  await disk?.remove();
  rmSync(work, { recursive: true, force: true });
}, 120_000);

beforeEach(async () => {
  await service.systemctl('restart');
});

afterEach(async () => {
  await service.systemctl('stop');
});

function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1000));
}

test('a sync that does not return starves the watchdog, and the agent comes back with the disk', async () => {
  await service.publish(10);
  const before = await service.records();
  const device = await service.connect();
  await runChecked({ command: 'fsfreeze', args: ['--freeze', disk.folder] });
  try {
    device.publish('line/value', 'into the ice', { qos: 1 });
    await expect
      .poll(() => service.journal(), { timeout: 60_000 })
      .toMatch(/the disk has not answered a write[\s\S]*Watchdog timeout/u);
  } finally {
    await runChecked({ command: 'fsfreeze', args: ['--unfreeze', disk.folder] });
  }
  await expect.poll(() => service.restarts(), { timeout: 60_000 }).toBeGreaterThan(0);
  await expect.poll(() => service.property('ActiveState'), { timeout: 60_000 }).toBe('active');
  await device.endAsync(true);
  await service.publish(1);
  expect(await service.records()).toBeGreaterThan(before);
});

test('a full disk is no reason to restart', async () => {
  await service.publish(10);
  const pid = await service.property('MainPID');
  disk.fill();
  try {
    const device = await service.connect();
    device.on('error', () => {});
    device.publish('line/value', Buffer.alloc(100_000), { qos: 1 });
    await seconds(20);
    expect(await service.property('MainPID')).toBe(pid);
    await device.endAsync(true);
  } finally {
    disk.empty();
  }
  await expect
    .poll(
      () =>
        service.publish(1).then(
          () => true,
          () => false,
        ),
      { timeout: 60_000 },
    )
    .toBe(true);
  expect(await service.property('MainPID')).toBe(pid);
});

test('a read-only disk: it is ready, says that it serves without a log, and is let be', async () => {
  await service.systemctl('stop');
  await runChecked({ command: 'mount', args: ['-o', 'remount,ro', disk.folder] });
  try {
    const { code } = await service.systemctl('start');
    expect({ code, journal: code === 0 ? '' : await service.journal() }).toEqual({
      code: 0,
      journal: '',
    });
    expect(await service.property('StatusText')).toMatch(/^serving without a log: /u);
    await (await service.connect()).endAsync();
    const pid = await service.property('MainPID');
    await seconds(15);
    expect(await service.property('MainPID')).toBe(pid);
  } finally {
    await runChecked({ command: 'mount', args: ['-o', 'remount,rw', disk.folder] });
  }
  await expect
    .poll(() => service.property('StatusText'), { timeout: 60_000 })
    .toMatch(/^\d+ conn/u);
});
