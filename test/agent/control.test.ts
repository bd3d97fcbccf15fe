import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ControlClient } from '../../src/admin/control-client.ts';
import { standInFolder } from '../../src/admin/socket-path.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { startControl } from '../../src/agent/control.ts';
import { LIMITS } from '../../src/limits.ts';
import { NO_LEDGER, NO_READER } from '../../src/agent/no-store.ts';
import { StopStack } from '../../src/agent/stop-stack.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock, type Clock } from '../../src/time.ts';
import { SimClock } from '../support/sim-clock.ts';

/** Where the control socket is when the data folder can't hold it. */
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-socket-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const STATUS = { gateway: 'gw' } as unknown as AgentStatus;

async function started(dataFolder: string, clock: Clock = systemClock): Promise<StopStack> {
  const stack = new StopStack(systemClock, silentLogger);
  const options = {
    dataFolder,
    reader: NO_READER,
    ledger: NO_LEDGER,
    mirrors: new Map(),
    reload: () => Promise.resolve({ at: '', refused: null, applied: [], needsRestart: [] }),
    forgetMirror: () => Promise.resolve(),
    exportMirror: () => Promise.reject(new Error('not asked for')),
    status: () => Promise.resolve(STATUS),
    clients: () => ({ total: 0, clients: [] }),
    logger: silentLogger,
  };
  await startControl(options, clock, stack);
  return stack;
}

test('a data folder that can hold no socket: it is elsewhere, found, and gone afterwards', async () => {
  const none = join(folder, 'none'); // Nothing can be made in it, as a socket can't on such disks.
  const stack = await started(none);
  expect(await new ControlClient(none).status()).toEqual(STATUS);
  expect(await stack.stop()).toBe(true);
  const standIn = await standInFolder(none);
  expect(await readdir(standIn)).toEqual([]);
  await rm(standIn, { recursive: true });
});

test('else it is in the data folder', async () => {
  const stack = await started(folder);
  expect((await stat(join(folder, 'agent.sock'))).isSocket()).toBe(true);
  expect(await stack.stop()).toBe(true);
});

test('it is made anew where it was deleted, but not in the folder of a disk that is gone', async () => {
  const clock = new SimClock();
  const stack = await started(folder, clock);
  const socket = join(folder, 'agent.sock');
  await rm(socket);
  await clock.advance(LIMITS.controlCheckMs);
  await expect(stat(socket)).rejects.toThrow('ENOENT');
  await mkdir(join(folder, 'state'));
  await expect
    .poll(async () => {
      await clock.advance(LIMITS.controlCheckMs);
      return new ControlClient(folder).status().catch(() => undefined);
    })
    .toEqual(STATUS);
  expect(await stack.stop()).toBe(true);
  await expect(stat(socket)).rejects.toThrow('ENOENT');
});
