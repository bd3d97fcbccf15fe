import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NotifyingServiceManager } from '../../src/agent/service-manager.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** Against a stand-in for systemd-notify; the real one is in test/systemd. */
let folder: string;
const logger = rememberingLogger();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-notify-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function install(script: string): void {
  writeFileSync(join(folder, 'systemd-notify'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function managerWith(env: Readonly<Record<string, string>>): NotifyingServiceManager | undefined {
  return NotifyingServiceManager.of({ PATH: `${folder}:/usr/bin:/bin`, ...env }, logger);
}

test('nobody is told where nobody asked', () => {
  expect(managerWith({})).toBeUndefined();
  expect(managerWith({ NOTIFY_SOCKET: '' })).toBeUndefined();
});

test.each([
  [{ WATCHDOG_USEC: '90000000' }, 90_000],
  [{ WATCHDOG_USEC: '90000000', WATCHDOG_PID: String(process.pid) }, 90_000],
  [{ WATCHDOG_USEC: '90000000', WATCHDOG_PID: '1' }, undefined],
  [{ WATCHDOG_USEC: '0' }, undefined],
  [{ WATCHDOG_USEC: 'often' }, undefined],
  [{}, undefined],
])('of %j the watchdog is ours after %s ms', (env, expected) => {
  expect(managerWith({ NOTIFY_SOCKET: '/run/notify', ...env })?.watchdogMs).toBe(expected);
});

test('messages arrive whole and in order, with the socket they are for', async () => {
  const heard = join(folder, 'heard');
  // The first takes longest.
  install(`[ "$1" = READY=1 ] && sleep 0.2; echo "$NOTIFY_SOCKET $# $*" >> ${heard}`);
  const manager = managerWith({ NOTIFY_SOCKET: '@/a/socket' });
  await Promise.all([
    manager?.tell(['READY=1', 'STATUS=2 connections; all $well']),
    manager?.tell(['WATCHDOG=1']),
  ]);
  expect(readFileSync(heard, 'utf8')).toBe(
    '@/a/socket 2 READY=1 STATUS=2 connections; all $well\n@/a/socket 1 WATCHDOG=1\n',
  );
});

test('what can not be told is said once, with what to do, and troubles nobody', async () => {
  const manager = NotifyingServiceManager.of({ PATH: folder, NOTIFY_SOCKET: '/s' }, logger);
  await manager?.tell(['READY=1']);
  await manager?.tell(['WATCHDOG=1']);
  const lines = logger.lines.filter(({ fields }) => fields['event'] === 'service.untold');
  expect(lines).toHaveLength(1);
  expect(lines[0]?.message).toMatch(/READY=1: there is no systemd-notify on the path/u);
});

test('a process that can not even be begun is no end of telling', async () => {
  const heard = join(folder, 'heard');
  install(`echo "$*" >> ${heard}`);
  const manager = managerWith({ NOTIFY_SOCKET: '/s' });
  // Thrown at once, as ENOMEM is: more than a process is given (E2BIG).
  await manager?.tell(['READY=1', `STATUS=${'x'.repeat(4_000_000)}`]);
  await manager?.tell(['WATCHDOG=1']);
  expect(readFileSync(heard, 'utf8')).toBe('WATCHDOG=1\n');
});
