import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Child, type ChildEnd } from '../../../src/cli/demo/child.ts';
import { TRIAL_LIMITS } from '../../../src/trial-limits.ts';
import { systemClock, type Clock } from '../../../src/time.ts';

/** The product's waits, shortened a hundred times; the longest are kept so that limits can be told apart. */
const waits: number[] = [];
const quick: Clock = {
  ...systemClock,
  after: (delayMs, task) => {
    waits.push(delayMs);
    return systemClock.after(delayMs > 5000 ? delayMs : delayMs / 100, task);
  },
};

let child: Child | undefined;
let ends: ChildEnd[];
let folder: string;

beforeEach(async () => {
  ends = [];
  waits.length = 0;
  folder = await mkdtemp(join(tmpdir(), 'gatelog-child-'));
});

afterEach(async () => {
  await child?.stop(10_000);
  await rm(folder, { recursive: true });
});

function childOf(script: string, ...before: string[]): Child {
  child = new Child({
    command: process.execPath,
    args: [...before, '-e', script],
    env: process.env,
    clock: quick,
    onEnd: (end) => ends.push(end),
  });
  return child;
}

describe('a supervised process', () => {
  test('that was killed comes back with another pid', async () => {
    const held = childOf('setInterval(() => {}, 1000)');
    held.start();
    held.ready();
    const first = held.pid;
    expect(first).toBeGreaterThan(0);
    expect(held.phase).toBe('running');
    expect(held.kill()).toBe(true);
    await expect.poll(() => held.pid !== undefined && held.pid !== first).toBe(true);
    expect(ends).toMatchObject([{ killed: true, signal: 'SIGKILL' }]);
    expect(ends[0]?.restartInMs).toBe(TRIAL_LIMITS.demoRestartFirstMs);
    expect(held.restarts).toBe(1);
    expect(held.phase).toBe('starting');
  });

  test('that ends by itself tells its last words and is started again, then given up', async () => {
    const held = childOf('console.error("no good\\nport is taken"); process.exit(3)');
    held.start();
    await expect.poll(() => held.phase, { timeout: 20_000 }).toBe('failed');
    expect(ends).toHaveLength(TRIAL_LIMITS.demoStartAttempts);
    expect(ends[0]).toMatchObject({ code: 3, killed: false });
    expect(ends[0]?.tail).toEqual(['no good', 'port is taken']);
    expect(ends.at(-1)?.restartInMs).toBeUndefined();
    const first = TRIAL_LIMITS.demoRestartFirstMs;
    expect(waits).toEqual([first, first * 2, first * 4, first * 8]);
    expect(held.kill()).toBe(false);
  });

  test('that cannot be started at all is given up the same way', async () => {
    child = new Child({
      command: join(folder, 'nothing-here'),
      args: [],
      env: process.env,
      clock: quick,
      onEnd: (end) => ends.push(end),
    });
    child.start();
    await expect.poll(() => child?.phase, { timeout: 20_000 }).toBe('failed');
    expect(ends[0]?.tail.join()).toContain('ENOENT');
  });

  test('is asked to stop, and killed when it does not', async () => {
    const file = join(folder, 'said');
    const polite = childOf(
      `process.on('SIGTERM', () => { require('fs').writeFileSync(${JSON.stringify(file)}, 'bye'); process.exit(0); });
       console.log('up'); setInterval(() => {}, 1000);`,
    );
    polite.start();
    await expect.poll(() => polite.tail).toContain('up');
    expect(await polite.stop(20_000)).toBe(true);
    expect(await readFile(file, 'utf8')).toBe('bye');
    expect(polite.phase).toBe('stopped');

    const deaf = childOf(
      `process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000);`,
    );
    deaf.start();
    await expect.poll(() => deaf.tail).toContain('up');
    expect(await deaf.stop(500)).toBe(false);
    expect(ends).toEqual([]);
  });

  test('is not left behind when the demo itself is killed', async () => {
    const leash = new URL('../../../src/cli/demo/leash.ts', import.meta.url).href;
    const pidFile = join(folder, 'pid');
    const grandchild = `require('fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setInterval(() => {}, 1000);`;
    const held = childOf(
      `require('child_process').spawn(process.execPath,
         ['--import', ${JSON.stringify(leash)}, '-e', ${JSON.stringify(grandchild)}],
         { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
       setInterval(() => {}, 1000);`,
    );
    held.start();
    const readPid = async (): Promise<number> => Number(await readFile(pidFile, 'utf8'));
    await expect.poll(readPid, { timeout: 20_000 }).toBeGreaterThan(0);
    const pid = await readPid();
    expect(isAlive(pid)).toBe(true);
    held.abandon();
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
