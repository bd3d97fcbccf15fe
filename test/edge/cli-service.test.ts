import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder } from '../support/cli.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';

/** The process under a service manager, which here is a file that says what it was told. */
let cli: CliFolder;
let heard: string;
beforeEach(() => {
  cli = new CliFolder();
  heard = path.join(cli.folder, 'heard');
  const notify = `#!/bin/sh\necho "$*" >> ${heard}\n`;
  writeFileSync(path.join(cli.folder, 'systemd-notify'), notify, { mode: 0o755 });
});
afterEach(() => cli.remove());

function told(): string {
  return existsSync(heard) ? readFileSync(heard, 'utf8') : '';
}

/** Waits for a file, of which nothing can be read yet, to be read. */
async function openWhenRead(pipe: string): Promise<number> {
  let writer = -1;
  const tried = (): number => {
    try {
      writer = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      // Nobody reads yet.
    }
    return writer;
  };
  await expect.poll(tried, { timeout: 30_000 }).toBeGreaterThan(-1);
  return writer;
}

test('a stop while it starts is told at once: more time for the start would be more for the stop', async () => {
  const { cert, key } = await makeServerCertificate(cli.folder, 'server', 2);
  const slow = path.join(cli.folder, 'slow.pem');
  execFileSync('mkfifo', [slow]);
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    `mqtt: {listen: ["mqtts://127.0.0.1:0"], allowAnonymous: true, tls: {cert: ${slow}, key: ${key}}}\nhttp: false\n`,
  );
  const env = {
    NOTIFY_SOCKET: '/nowhere',
    PATH: `${cli.folder}:${process.env['PATH'] ?? ''}`,
  };
  const agent = await cli.start(['run', '--config', 'gatelog.yaml'], env);
  const writer = await openWhenRead(slow);
  agent.signal('SIGTERM');
  await expect.poll(told).toMatch(/^STOPPING=1/mu);
  writeSync(writer, readFileSync(cert));
  closeSync(writer);
  expect(await agent.exited).toEqual({ code: 0, signal: null });
  expect(told()).not.toContain('READY=1');
});
