import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { buildPackage } from '../../deploy/package/build-package.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { BootedDebian } from '../support/booted-debian.ts';
import { freePorts } from '../support/ports.ts';
import type { Finished } from '../support/process.ts';

/** The Debian package of this checkout, installed in a booted Debian, with a configuration of the test. */
const UNIT = 'gatelog.service';
const CREDENTIALS = 'etc/gatelog/credentials';
/** GATELOG_SUITE=trixie: with the systemd of Debian 13. */
const SUITE = process.env['GATELOG_SUITE'] === 'trixie' ? 'trixie' : 'bookworm';
/** Quickly made, for a test that does not look at the size. */
const COMPRESSION = 1;
const INSTALL_LIMIT_MS = 120_000;

export class InstalledService {
  readonly debian: BootedDebian;
  readonly port: number;

  private constructor(debian: BootedDebian, port: number) {
    this.debian = debian;
    this.port = port;
  }

  /** Booted, and not started. `dataDisk`: a folder of this machine for /var/lib/gatelog. */
  static async install(dataDisk?: string): Promise<InstalledService> {
    const binds = dataDisk === undefined ? {} : { '/var/lib/gatelog': dataDisk };
    const debian = await BootedDebian.make({ suite: SUITE, binds });
    if (dataDisk !== undefined) mkdirSync(debian.path('var/lib/gatelog'), { recursive: true });
    const [port = 0] = await freePorts(1);
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const { bytes } = await buildPackage({ architecture, level: COMPRESSION });
    writeFileSync(debian.path('gatelog.deb'), bytes);
    // The network is this machine's, and the package's own configuration would listen on port 1883.
    const policy = debian.path('usr/sbin/policy-rc.d');
    writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    try {
      await debian.boot();
      await debian.check(['dpkg', '--install', '/gatelog.deb'], INSTALL_LIMIT_MS);
    } catch (error) {
      await debian.remove();
      throw error;
    }
    rmSync(policy);
    return new InstalledService(debian, port);
  }

  /** `mqtt` of the configuration begins with where it listens. */
  configure(mqtt: readonly string[], rest: string = ''): void {
    const listen = `  listen: [mqtt://127.0.0.1:${this.port}, unix:///run/gatelog/mqtt.sock]`;
    const text = ['gateway: gw-boot', 'mqtt:', listen, ...mqtt.map((line) => `  ${line}`), rest];
    writeFileSync(this.debian.path('etc/gatelog/gatelog.yaml'), `${text.join('\n')}\n`);
  }

  /** Only root can read it. */
  setCredential(name: string, text: string): void {
    const file = this.debian.path(path.join(CREDENTIALS, name));
    writeFileSync(file, text);
    chmodSync(file, 0o600);
  }

  /** Settings of [Service] beside the unit's own; the next test may have others. */
  async dropIn(settings: readonly string[]): Promise<void> {
    const folder = this.debian.path(`etc/systemd/system/${UNIT}.d`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'test.conf'), `[Service]\n${settings.join('\n')}\n`);
    await this.debian.check(['systemctl', 'daemon-reload']);
  }

  systemctl(...args: readonly string[]): Promise<Finished> {
    return this.debian.run(['systemctl', ...args, UNIT], 120_000);
  }

  property(name: string): Promise<string> {
    return this.debian.property(UNIT, name);
  }

  /** Times that systemd started it anew by itself. */
  async restarts(): Promise<number> {
    return Number(await this.property('NRestarts'));
  }

  journal(): Promise<string> {
    return this.debian.journal(UNIT);
  }

  /** As root. */
  gatelog(...args: readonly string[]): Promise<Finished> {
    return this.debian.run(['gatelog', ...args]);
  }

  /** Rejects when it is refused. */
  connect(username?: string, password?: string): Promise<MqttClient> {
    const login = username === undefined ? {} : { username, password: password ?? '' };
    const url = `mqtt://127.0.0.1:${this.port}`;
    return connectAsync(url, { ...login, reconnectPeriod: 0, connectTimeout: 5000 }, false);
  }

  /** Each acknowledged, or it rejects. */
  async publish(count: number, username?: string, password?: string): Promise<void> {
    const client = await this.connect(username, password);
    const closed = new Promise<never>((_, reject) => {
      client.once('close', () => reject(new Error('the connection ended')));
    });
    const topic = `${username ?? 'line'}/value`;
    for (let number = 0; number < count; number++) {
      await Promise.race([client.publishAsync(topic, String(number), { qos: 1 }), closed]);
    }
    closed.catch(() => {});
    await client.endAsync();
  }

  /** Records in the log, as the agent tells. */
  async records(): Promise<number> {
    const { stdout, stderr } = await this.gatelog('status', '--data', '/var/lib/gatelog', '--json');
    if (stdout === '') throw new Error(`no status: ${stderr}`);
    const { topics } = JSON.parse(stdout) as AgentStatus;
    return topics.find(({ name }) => name === 'telemetry')?.records ?? 0;
  }

  remove(): Promise<void> {
    return this.debian.remove();
  }
}
