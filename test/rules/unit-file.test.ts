import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import NODE_ENVIRONMENT from '../../deploy/node-env.json' with { type: 'json' };
import NODE_FLAGS from '../../deploy/node-flags.json' with { type: 'json' };
import { exitCodeOf } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { SERVICE_LIMITS } from '../../src/service-limits.ts';
import { parseDuration } from '../../src/units.ts';

const unit = readFileSync('deploy/systemd/gatelog.service', 'utf8');

function setting(name: string): string {
  const value = new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];
  if (value === undefined) throw new Error(`the unit has no ${name}`);
  return value;
}

describe('deploy/systemd/gatelog.service', () => {
  it('has its lines in the journal under the name of the program, not of Node', () => {
    expect(setting('SyslogIdentifier')).toBe('gatelog');
  });

  it('gives the agent longer to stop than the agent gives itself', () => {
    const stopMs = parseDuration(setting('TimeoutStopSec'));
    expect(stopMs).toBeGreaterThanOrEqual(LIMITS.stopMs + 5000);
  });

  it('does not restart what only a person can mend, and restarts the rest', () => {
    const codes = setting('RestartPreventExitStatus').split(' ').map(Number);
    expect(codes).toContain(exitCodeOf('CONFIG_INVALID'));
    expect(codes).toContain(exitCodeOf('USAGE'));
    expect(codes).toContain(exitCodeOf('STORE_FORMAT_NEWER'));
    expect(codes).toContain(exitCodeOf('STORE_FOREIGN'));
    expect(codes).toContain(exitCodeOf('STORE_FORBIDDEN'));
    expect(codes).not.toContain(exitCodeOf('STORE_READ_ONLY'));
    expect(codes).not.toContain(exitCodeOf('STORE_FULL'));
    expect(codes).not.toContain(exitCodeOf('STORE_MISSING'));
    expect(codes).not.toContain(exitCodeOf('STORE_LOCKED'));
    expect(codes).not.toContain(exitCodeOf('STORE_CORRUPT'));
    expect(codes).not.toContain(exitCodeOf('INTERNAL'));
  });

  it('gives Node the flags and the environment that every other way of starting it gives', () => {
    const flags = NODE_FLAGS.join(' ');
    expect(setting('ExecStart')).toMatch(
      new RegExp(`/\\.bin/node --\\S+ ${flags} /usr/lib/gatelog/dist/main\\.js run`, 'u'),
    );
    const reload = `/.bin/node ${flags} /usr/lib/gatelog/dist/main.js reload`;
    expect(setting('ExecReload')).toContain(reload);
    const settings = Object.entries(NODE_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
    for (const one of settings) expect(unit.split('\n')).toContain(`Environment=${one}`);
    const assignments = settings.join(' ');
    expect(readFileSync('src/main.ts', 'utf8')).toMatch(
      `#!/usr/bin/env -S ${assignments} node ${flags}\n`,
    );
    const command = readFileSync('deploy/gatelog', 'utf8');
    expect(command).toContain(`exec "$node" ${flags} "$main" "$@"\n`);
    expect(command.split('\n')).toContain(`export ${assignments}`);
  });

  it('waits for readiness, and lets what a start asks for be heard before its time is over', () => {
    expect(setting('Type')).toBe('notify');
    // Another process tells on our behalf.
    expect(setting('NotifyAccess')).toBe('all');
    const startMs = parseDuration(setting('TimeoutStartSec')) ?? 0;
    expect(startMs).toBeGreaterThan(2 * SERVICE_LIMITS.extendEveryMs);
  });

  it('gives a slow disk more time than the store gives it to be measured, and then restarts', () => {
    const watchdogMs = parseDuration(setting('WatchdogSec')) ?? 0;
    const patienceMs = watchdogMs * SERVICE_LIMITS.stallShare;
    expect(patienceMs).toBeGreaterThan(LIMITS.mirrorStalledMs);
    // One message that gets lost starves nobody.
    expect(watchdogMs / SERVICE_LIMITS.watchdogFeeds + SERVICE_LIMITS.notifyMs).toBeLessThan(
      watchdogMs / 2,
    );
    expect(setting('Restart')).toBe('always');
  });

  it('hands secrets on as the configuration reads them', () => {
    const [, id, folder] = /^(.+?):(.+)$/u.exec(setting('LoadCredential')) ?? [];
    expect(id).toBe('gatelog');
    expect(folder).toBe('/etc/gatelog/credentials');
    expect(setting('ConfigurationDirectory')).toBe('gatelog/credentials');
  });

  it('has room on the smallest board, where a test shows how little is enough', () => {
    const usableBytes = 425e6; // Raspberry Pi Zero 2 W, as its kernel tells.
    const high = (Number.parseInt(setting('MemoryHigh'), 10) / 100) * usableBytes;
    const max = (Number.parseInt(setting('MemoryMax'), 10) / 100) * usableBytes;
    expect(high).toBeGreaterThan(160e6);
    expect(max).toBeGreaterThan(high);
    expect(max).toBeLessThan(0.75 * usableBytes);
  });

  it('backs off where systemd can, and in a file of its own, as older ones warn of it', () => {
    expect(unit).not.toContain('RestartSteps');
    const backoff = readFileSync('deploy/systemd/backoff.conf', 'utf8');
    const value = (name: string): string | undefined =>
      new RegExp(`^${name}=(.*)$`, 'm').exec(backoff)?.[1];
    expect(Number(value('RestartSteps'))).toBeGreaterThan(0);
    const longestMs = parseDuration(value('RestartMaxDelaySec') ?? '') ?? 0;
    expect(longestMs).toBeGreaterThan(parseDuration(setting('RestartSec')) ?? Infinity);
  });

  it('leaves V8 its machine code', () => {
    expect(unit).not.toMatch(/^MemoryDenyWriteExecute=/m);
  });
});
