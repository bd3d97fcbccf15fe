import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

test('a probe ends with the process that began it, whatever it is in the middle of', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatelog-probe-'));
  try {
    // LevelDB opens CURRENT first, and a pipe without a writer holds it there.
    expect(spawnSync('mkfifo', [join(folder, 'CURRENT')]).status).toBe(0);
    const child = spawn(process.execPath, ['src/store/probe-child.ts', 'read', folder], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    await once(child, 'message'); // It has begun.
    child.disconnect();
    expect(await exited).toEqual([null, 'SIGKILL']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
