import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import NODE_ENVIRONMENT from '../../deploy/node-env.json' with { type: 'json' };
import NODE_FLAGS from '../../deploy/node-flags.json' with { type: 'json' };
import type { AgentStatus } from '../../src/admin/status.ts';
import { CliFolder } from '../support/cli.ts';
import { runProcess, startProcess } from '../support/process.ts';

/** The agent as a process: crashes, its reader going away, its memory. */
const ROOT = path.join(import.meta.dirname, '../..');

let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

test('why it did not start is an error in the journal', async () => {
  writeFileSync(path.join(cli.folder, 'gatelog.yaml'), 'nonsense: 1\n');
  const { command, args, cwd, env } = cli.spec(['run', '--config', 'gatelog.yaml']);
  // As systemd.exec(5) names the stream that is the journal's.
  const line =
    'touch said; JOURNAL_STREAM=$(stat -c %d:%i said); export JOURNAL_STREAM; "$@" 2>said';
  const { code } = await runProcess({
    command: 'sh',
    args: ['-c', line, 'sh', command, ...args],
    cwd,
    env,
  });
  expect(code).toBe(78);
  const said = readFileSync(path.join(cli.folder, 'said'), 'utf8');
  expect(said).toMatch(/^<3>gatelog: gatelog\.yaml:1:1: nonsense: unknown option/u);
});

describe('a crash', () => {
  test.each([
    ['an exception', "throw new Error('boom')", 'uncaughtException'],
    ['a rejection', "void Promise.reject(new Error('boom'))", 'unhandledRejection'],
  ])('%s that nobody caught is logged and ends the agent', async (_, what, origin) => {
    const hook = path.join(cli.folder, 'hook.mjs');
    writeFileSync(hook, `process.on('SIGUSR2', () => { ${what}; });\n`);
    const { agent } = await cli.startAgent([], { NODE_OPTIONS: `--import=${hook}` });
    agent.signal('SIGUSR2');
    const { code } = await agent.exited;
    expect(code).not.toBe(0);
    expect(code).not.toBeNull();
    const line = agent
      .stdout()
      .split('\n')
      .find((text) => text.includes('agent.crash'));
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      level: 'error',
      origin,
      msg: 'crashed: boom',
    });
    // The folder is left as after a kill: the next agent opens it.
    await cli.startAgent();
  });
});

test('the reader of the log may go away, and the agent stays', async () => {
  const piped = await cli.startShell(
    'run --mqtt mqtt://127.0.0.1:0 --kafka 127.0.0.1:1 | head -n 1; exit ${PIPESTATUS[0]}',
  );
  await piped.waitFor(/\{/u);
  const status = async (): Promise<AgentStatus | undefined> => {
    const { code, stdout } = await cli.run(['status', '--json']);
    return code === 0 ? (JSON.parse(stdout) as AgentStatus) : undefined;
  };
  // Every failure to connect is a line of the log that nobody takes.
  const failures = new Set<number | undefined>();
  const count = async (): Promise<number> => {
    failures.add((await status())?.mirrors[0]?.lastError?.atMs);
    return failures.size;
  };
  await expect.poll(count, { timeout: 30_000 }).toBeGreaterThan(3);
  const { pid = 0 } = (await status()) ?? {};
  process.kill(pid, 'SIGTERM');
  expect(await piped.exited).toEqual({ code: 0, signal: null });
});

test('an idle agent, built, with the default configuration, needs at most 40 MB of its own', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-built-'));
  try {
    const tsc = path.join(ROOT, 'node_modules/.bin/tsc');
    const project = path.join(ROOT, 'tsconfig.build.json');
    const out = path.join(folder, 'dist');
    const built = await runProcess({ command: tsc, args: ['-p', project, '--outDir', out] });
    expect(built).toMatchObject({ code: 0, stdout: '' });
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
    copyFileSync(path.join(ROOT, 'package.json'), path.join(folder, 'package.json'));
    const main = path.join(out, 'main.js');
    const args = [...NODE_FLAGS, main, 'run', '--mqtt', 'mqtt://127.0.0.1:0'];
    const plain = { NODE_OPTIONS: '', NODE_DISABLE_COMPILE_CACHE: '1' };
    const env = { ...NODE_ENVIRONMENT, ...plain, NODE_ENV: 'production' };
    const agent = await startProcess({ command: process.execPath, args, cwd: folder, env });
    try {
      await agent.waitFor(/agent\.ready/u);
      // Made in the background after the start: the last work before nothing is to be done.
      await agent.waitFor(/disk\.reserve/u, 60_000);
      const kilobytes = (): number => {
        const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
        return Number(/^RssAnon:\s+(\d+) kB$/mu.exec(status)?.[1]);
      };
      await expect.poll(kilobytes, { timeout: 20_000 }).toBeLessThanOrEqual(40_000);
      expect(kilobytes()).toBeGreaterThan(5000);
      expect(await agent.stop()).toEqual({ code: 0, signal: null });
    } finally {
      await agent.kill();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
