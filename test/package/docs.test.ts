import { mkdirSync, readFileSync, writeFileSync, copyFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { BootedDebian } from '../support/booted-debian.ts';
import { type Block, blocksOf, documents } from '../support/docs/blocks.ts';
import { DEVICE, putPackage } from './built-packages.ts';

/**
 * Commands of the documents that change a machine, as a person types them who is not root, at a terminal, in
 * a Debian with a systemd of its own: a fresh one for each document.
 */
const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'amd64';
const UNIT = 'gatelog.service';
const NODE = '/usr/lib/gatelog/node_modules/.bin/node';
const LIMIT_MS = 180_000;

/** As Raspberry Pi OS has them. apt would fetch iproute2 beside the package, which recommends it. */
const HAS = ['sudo', 'iproute2'];
/** It has such a user. */
const USER = 'pi';
const HOME = `home/${USER}`;

const shown = documents()
  .map((file): [string, Block[]] => [file, blocksOf(file).filter(({ inDebian }) => inDebian)])
  .filter(([, blocks]) => blocks.length > 0);

class Machine {
  readonly debian: BootedDebian;
  readonly #deb: string;

  private constructor(debian: BootedDebian, deb: string) {
    this.debian = debian;
    this.#deb = deb;
  }

  static async boot(): Promise<Machine> {
    const debian = await BootedDebian.make({ ownNetwork: true, include: HAS });
    try {
      mkdirSync(debian.path(HOME), { recursive: true });
      mkdirSync(debian.path('etc/sudoers.d'), { recursive: true });
      writeFileSync(debian.path('etc/sudoers.d/pi'), `${USER} ALL=(ALL) NOPASSWD: ALL\n`);
      const deb = await putPackage(debian.path(HOME), { architecture: ARCHITECTURE });
      copyFileSync(DEVICE, debian.path('root/device.mjs'));
      await debian.boot();
      await debian.check(['useradd', '--shell', '/bin/bash', USER]);
      await debian.check(['chown', '-R', `${USER}:`, `/${HOME}`]);
      return new Machine(debian, deb);
    } catch (error) {
      await debian.remove();
      throw error;
    }
  }

  async install(): Promise<void> {
    await this.debian.check(['dpkg', '--install', `/${HOME}/${this.#deb}`], LIMIT_MS);
  }

  /** Enter is the answer to whatever is asked. */
  async type(text: string): Promise<void> {
    const script = text.replaceAll(/gatelog_\S+_(?:arm64|amd64)\.deb/gu, this.#deb);
    writeFileSync(this.debian.path(`${HOME}/typed.sh`), script);
    const typed = `su --login ${USER} --command 'bash -euo pipefail typed.sh'`;
    const atTerminal = `yes '' | head -n 40 | script --quiet --return --command "${typed}" /dev/null`;
    await this.debian.check(['sh', '-c', atTerminal], LIMIT_MS);
  }

  async publish(): Promise<void> {
    await this.debian.check([NODE, '/root/device.mjs', '1883', '3', '500']);
  }

  async records(): Promise<number> {
    const { stdout } = await this.debian.check(['gatelog', 'consume', 'telemetry']);
    return stdout.split('\n').filter((line) => line !== '').length;
  }

  async gateway(): Promise<string> {
    const { stdout } = await this.debian.check(['gatelog', 'status', '--json']);
    return (JSON.parse(stdout) as { gateway: string }).gateway;
  }

  state(): Promise<string> {
    return this.debian.property(UNIT, 'ActiveState');
  }
}

describe('what changes a machine is run in one', () => {
  test.for(shown)('%s', async ([file, blocks]) => {
    const machine = await Machine.boot();
    try {
      if (!blocks.some(({ text }) => text.includes('apt install'))) await machine.install();
      for (const { text } of blocks) await machine.type(text);
      const expected = file === 'docs/operations.md' ? 'inactive' : 'active';
      expect(await machine.state()).toBe(expected);
    } finally {
      await machine.debian.remove();
    }
  });
});

test('a log that was moved is whole, and clones of an image have ids of their own', async () => {
  const machine = await Machine.boot();
  const { debian } = machine;
  const blocks = blocksOf('docs/operations.md').filter(({ inDebian }) => inDebian);
  const typeAll = async (pattern: RegExp): Promise<void> => {
    const some = blocks.filter(({ text }) => pattern.test(text));
    expect(some).toHaveLength(1);
    for (const { text } of some) await machine.type(text);
  };
  try {
    await machine.install();
    const file = debian.path('etc/gatelog/gatelog.yaml');
    const shipped = readFileSync(file, 'utf8');
    writeFileSync(file, `gateway: gw-\${machine-id}\n${shipped.replaceAll(/^gateway:.*$/gmu, '')}`);
    // It began under the host's name when it was installed.
    const begin = `systemctl stop ${UNIT}; find /var/lib/gatelog -mindepth 1 -delete; systemctl start ${UNIT}`;
    await debian.check(['sh', '-ec', begin]);
    await machine.publish();

    await typeAll(/--exclude/u);
    await typeAll(/-xzf \/media/u);
    expect(await machine.records()).toBe(3);
    expect(await machine.state()).toBe('active');

    const before = await machine.gateway();
    await typeAll(/truncate/u);
    await debian.reboot();
    await expect.poll(() => machine.state(), { timeout: 60_000 }).toBe('active');
    const after = await machine.gateway();
    expect(before).toMatch(/^gw-[0-9a-f]{32}$/u);
    expect(after).toMatch(/^gw-[0-9a-f]{32}$/u);
    expect(after).not.toBe(before);
  } finally {
    await debian.remove();
  }
});
