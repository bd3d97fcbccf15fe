import { copyFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BootedDebian } from '../support/booted-debian.ts';
import { DEVICE, putPackage, SUITES } from './built-packages.ts';

/** The package under the real dpkg and a real systemd: what happens to the agent that runs. */
const NODE = '/usr/lib/gatelog/node_modules/.bin/node';
const UNIT = 'gatelog.service';
const NEWER = { architecture: 'amd64', version: '99.0.0' } as const;

describe.each(SUITES)('%s', (suite) => {
  let debian: BootedDebian;
  let own: string;
  let newer: string;

  beforeAll(async () => {
    debian = await BootedDebian.make({ suite, ownNetwork: true });
    own = `/root/${await putPackage(debian.path('root'), { architecture: 'amd64' })}`;
    newer = `/root/${await putPackage(debian.path('root'), NEWER)}`;
    copyFileSync(DEVICE, debian.path('root/device.mjs'));
    await debian.boot();
  });
  afterAll(async () => {
    await debian?.remove();
  });

  /** Rejects with what dpkg said where it fails. */
  async function dpkg(...args: readonly string[]): Promise<string> {
    return (await debian.check(['dpkg', ...args], 180_000)).stdout;
  }

  /** What dpkg says where it MUST fail. */
  async function refusal(...args: readonly string[]): Promise<string> {
    const { code, stderr } = await debian.run(['dpkg', ...args], 180_000);
    expect(code).not.toBe(0);
    return stderr;
  }

  async function publish(count: number): Promise<void> {
    const { stdout } = await debian.check([NODE, '/root/device.mjs', '1883', String(count), '500']);
    expect(stdout).toBe(`acknowledged ${count}\n`);
  }

  async function logged(): Promise<number> {
    const { stdout } = await debian.check(['gatelog', 'consume', 'telemetry']);
    return stdout.split('\n').filter((line) => line !== '').length;
  }

  function pid(): Promise<string> {
    return debian.property(UNIT, 'MainPID');
  }

  test('installed, it runs: the first message is acknowledged without another command', async () => {
    const begun = performance.now();
    await dpkg('--install', own);
    const installed = performance.now();
    await publish(1);
    const acknowledged = performance.now();
    expect(await debian.property(UNIT, 'ActiveState')).toBe('active');
    expect(await debian.property(UNIT, 'UnitFileState')).toBe('enabled');
    const seconds = (ms: number): string => (ms / 1000).toFixed(1);
    process.stdout.write(
      `dpkg -i took ${seconds(installed - begun)} s; a durable acknowledgement after ` +
        `${seconds(acknowledged - begun)} s\n`,
    );
  });

  describe('an upgrade', () => {
    test('stops the agent before its files change, and starts the new one', async () => {
      const before = await pid();
      await dpkg('--install', newer);
      expect(await pid()).not.toBe(before);
      const { stdout } = await debian.check(['gatelog', 'status', '--json']);
      expect(JSON.parse(stdout)).toMatchObject({ version: '99.0.0' });
      await publish(1);
      expect(await logged()).toBe(2);
      const journal = await debian.journal(UNIT);
      expect(journal).toMatch(/stopped/u);
      expect(journal).not.toMatch(/SIGKILL|status=9|Failed with result/u);
    });

    test('that is refused leaves the agent as it was: running', async () => {
      writeFileSync(debian.path('var/lib/gatelog/format'), '1000\n');
      await refusal('--install', own);
      expect(await debian.property(UNIT, 'ActiveState')).toBe('active');
      await publish(1);
      expect(await logged()).toBe(3);
      writeFileSync(debian.path('var/lib/gatelog/format'), '2\n');
    });

    test('does not start what a person stopped', async () => {
      await debian.check(['systemctl', 'stop', UNIT]);
      await dpkg('--install', own);
      expect(await debian.property(UNIT, 'ActiveState')).toBe('inactive');
      expect(await logged()).toBe(3);
    });

    test('gives one that had failed another try', async () => {
      const file = debian.path('etc/gatelog/gatelog.yaml');
      const config = (await debian.check(['cat', '/etc/gatelog/gatelog.yaml'])).stdout;
      writeFileSync(file, `${config}\nnonsense: true\n`);
      await debian.run(['systemctl', 'start', UNIT]);
      await expect.poll(() => debian.property(UNIT, 'ActiveState')).toBe('failed');
      writeFileSync(file, config);
      await dpkg('--install', newer);
      expect(await debian.property(UNIT, 'ActiveState')).toBe('active');
      await publish(1);
    });
  });

  test('disabled by a person, it stays so through an upgrade', async () => {
    await debian.check(['systemctl', 'disable', '--now', UNIT]);
    await dpkg('--install', own);
    expect(await debian.property(UNIT, 'UnitFileState')).toBe('disabled');
    expect(await debian.property(UNIT, 'ActiveState')).toBe('inactive');
    await debian.check(['systemctl', 'enable', '--now', UNIT]);
  });

  test('removed, the agent stops; installed again, it goes on with its log', async () => {
    await dpkg('--remove', 'gatelog');
    expect(await debian.property(UNIT, 'ActiveState')).toBe('inactive');
    await dpkg('--install', own);
    await publish(1);
    expect(await logged()).toBe(5);
    await dpkg('--purge', 'gatelog');
    const left = await debian.run(['ls', '-d', '/var/lib/gatelog', '/etc/gatelog', '/run/gatelog']);
    expect(left.stdout).toBe('');
  });
});
