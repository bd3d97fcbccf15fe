import {
  appendFileSync,
  readFileSync,
  statSync,
  writeFileSync,
  copyFileSync,
  existsSync,
} from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DebianCell } from '../support/debian-root.ts';
import type { Running } from '../support/process.ts';
import { DEVICE, putPackage, SUITES } from './built-packages.ts';

/**
 * The package under the real dpkg, in a Debian without a running systemd, as in a container. Each test
 * begins where the one before ended: installed, upgraded, downgraded, removed, purged.
 */
const NODE = '/usr/lib/gatelog/node_modules/.bin/node';
const NEWER = { architecture: 'amd64', version: '99.0.0', format: 1000 } as const;
/** Without a sync for each file: no power cut is meant here. */
const UNSAFE = '--force-unsafe-io';

describe.each(SUITES)('%s', (suite) => {
  let cell: DebianCell;
  let own: string;
  let newer: string;

  beforeAll(async () => {
    cell = await DebianCell.make({ suite, include: ['systemd', 'systemd-sysv', 'dbus'] });
    own = `/tmp/${await putPackage(cell.path('tmp'), { architecture: 'amd64' })}`;
    newer = `/tmp/${await putPackage(cell.path('tmp'), NEWER)}`;
    copyFileSync(DEVICE, cell.path('tmp/device.mjs'));
  });
  afterAll(async () => {
    await cell?.remove();
  });

  /** Rejects with what dpkg said where it fails. */
  async function dpkg(...args: readonly string[]): Promise<string> {
    return (await cell.check(['dpkg', UNSAFE, ...args], 120_000)).stdout;
  }

  /** What dpkg says where it MUST fail. */
  async function refusal(...args: readonly string[]): Promise<string> {
    const { code, stderr } = await cell.run(['dpkg', UNSAFE, ...args], 120_000);
    expect(code).not.toBe(0);
    return stderr;
  }

  /** As dpkg has it, such as `ii 0.1.0-1`. */
  async function state(): Promise<string> {
    const format = `--showformat=\${db:Status-Abbrev}\${Version}`;
    return (await cell.run(['dpkg-query', '--show', format, 'gatelog'])).stdout.trim();
  }

  async function sh(line: string): Promise<string> {
    return (await cell.check(['sh', '-c', line])).stdout.trim();
  }

  async function agent(): Promise<Running> {
    const running = await cell.start(['gatelog', 'run'], 'gatelog');
    await running.waitFor(/agent\.ready/u);
    return running;
  }

  describe('install', () => {
    test('goes through without a word that is not dpkg’s', async () => {
      await dpkg('--install', own);
      expect(await state()).toMatch(/^ii +\d+\.\d+\.\d+-1$/u);
      expect(await dpkg('--verify', 'gatelog')).toBe('');
      expect(await dpkg('--audit')).toBe('');
    });

    test('the command, its configuration, user and folders are there', async () => {
      expect(await sh('gatelog --version')).toMatch(/^\d+\.\d+\.\d+$/u);
      expect(await sh('gatelog config check')).toContain('/etc/gatelog/gatelog.yaml: good');
      expect(await sh('stat -c "%U %G %a" /var/lib/gatelog')).toBe('gatelog gatelog 700');
      expect(await sh('stat -c "%U %a" /etc/gatelog/users')).toBe('gatelog 600');
      expect(await sh('stat -c "%U %a" /etc/gatelog/credentials')).toBe('root 700');
      expect(await sh('getent passwd gatelog')).toMatch(/:\/usr\/sbin\/nologin$/u);
      expect(await sh('systemctl is-enabled gatelog')).toBe('enabled');
    });

    test('what is shipped serves devices of this machine at once, and nobody else', async () => {
      const running = await agent();
      const device = await cell.check([NODE, '/tmp/device.mjs', '1883', '3']);
      expect(device.stdout).toBe('acknowledged 3\n');
      const status = JSON.parse(await sh('gatelog status --json')) as { listeners: string[] };
      expect(status.listeners).toEqual(['mqtt://127.0.0.1:1883']);
      await running.stop();
      expect(await sh('gatelog consume telemetry | wc -l')).toBe('3');
      expect(await sh('cat /var/lib/gatelog/format')).toBe('2');
    });

    test('opened up as its configuration says, it takes users and no strangers', async () => {
      const file = cell.path('etc/gatelog/gatelog.yaml');
      const shipped = readFileSync(file, 'utf8');
      const opened = shipped
        .replace('    #- mqtt://0.0.0.0:1883', '    - mqtt://0.0.0.0:1883')
        .replace('  #usersFile: users', '  usersFile: users');
      expect(opened).not.toBe(shipped);
      writeFileSync(file, opened.replace('    - mqtt://127.0.0.1:1883\n', ''));
      await sh('echo secret-word | gatelog user add press-1 --password-stdin');
      expect(await sh('stat -c "%U %a" /etc/gatelog/users')).toBe('gatelog 600');
      const running = await agent();
      const stranger = await cell.run([NODE, '/tmp/device.mjs', '1883', '1']);
      expect(stranger.stderr).toMatch(/not authori[sz]ed/iu);
      await running.stop();
      writeFileSync(file, shipped);
    });
  });

  describe('upgrade and downgrade', () => {
    test('an upgrade keeps the log, users, and a configuration that a person changed', async () => {
      const file = cell.path('etc/gatelog/gatelog.yaml');
      appendFileSync(file, '# ours\n');
      await dpkg('--install', newer);
      expect(await state()).toBe('ii 99.0.0-1');
      expect(await sh('gatelog --version')).toBe('99.0.0');
      expect(readFileSync(file, 'utf8')).toMatch(/# ours\n$/u);
      expect(await sh('gatelog user list --file /etc/gatelog/users')).toContain('press-1');
      expect(await sh('gatelog consume telemetry | wc -l')).toBe('3');
    });

    test('a downgrade that the data allows goes through', async () => {
      await dpkg('--install', own);
      const running = await agent();
      await running.stop();
      expect(await sh('gatelog consume telemetry | wc -l')).toBe('3');
    });

    test('one whose data a newer gatelog wrote is refused, and the newer one stays', async () => {
      await dpkg('--install', newer);
      writeFileSync(cell.path('var/lib/gatelog/format'), '1000\n');
      const said = await refusal('--install', own);
      expect(said).toMatch(
        /\/var\/lib\/gatelog has format 1000, and gatelog \S+ knows up to format 2/u,
      );
      expect(await state()).toBe('ii 99.0.0-1');
      expect(await sh('gatelog --version')).toBe('99.0.0');
      // Also when the newer one is not installed any more.
      await dpkg('--remove', 'gatelog');
      await refusal('--install', own);
      expect(await state()).not.toMatch(/^ii/u);
      writeFileSync(cell.path('var/lib/gatelog/format'), '2\n');
    });
  });

  describe('remove and purge', () => {
    test('removed, its data and configuration stay, and are there for the next', async () => {
      await dpkg('--install', own);
      await dpkg('--remove', 'gatelog');
      expect(existsSync(cell.path('usr/lib/gatelog'))).toBe(false);
      expect(existsSync(cell.path('etc/gatelog/gatelog.yaml'))).toBe(true);
      await dpkg('--install', own);
      expect(await sh('gatelog consume telemetry | wc -l')).toBe('3');
    });

    test('purged, nothing stays but the user, and nothing was asked', async () => {
      await sh('echo word > /etc/gatelog/credentials/kafka');
      await dpkg('--purge', 'gatelog');
      const left = await sh(
        'find / -xdev -name "*gatelog*" -not -path "/tmp/*" -not -path "/proc/*"',
      );
      expect(left).toBe('');
      expect(await sh('find / -xdev -uid $(id -u gatelog) -not -path "/proc/*"')).toBe('');
    });

    test('a data folder that is a link to a disk is emptied there', async () => {
      await sh('mkdir -p /mnt/ssd && chown gatelog /mnt/ssd');
      await sh('ln -s /mnt/ssd /var/lib/gatelog');
      await dpkg('--install', own);
      const running = await agent();
      await running.stop();
      expect(statSync(cell.path('mnt/ssd/state')).isDirectory()).toBe(true);
      await sh('echo mine > /mnt/ssd/photo.jpg');
      await dpkg('--purge', 'gatelog');
      expect(await sh('ls -A /mnt/ssd')).toBe('photo.jpg');
      expect(existsSync(cell.path('var/lib/gatelog'))).toBe(false);
    });
  });
});
