import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { append, FOREVER, onDisk, type Place } from '../support/store-kit.ts';

/** Another user before a data folder: root becomes nobody, anybody else takes his own rights away. */
const IS_ROOT = process.getuid?.() === 0;

let place: Place;
beforeEach(async () => {
  place = await onDisk.make();
  const store = await place.open();
  const [stream] = store.writer.defineTopic('t', FOREVER).streams;
  if (stream !== undefined) await append(store, stream);
  await store.close();
});
afterEach(async () => {
  await chmod(place.folder, 0o755);
  await place.remove();
});

/** Codes of asking the agent, and of looking into the folder. */
async function asAnother(): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), 'gatelog-scratch-'));
  await chmod(scratch, 0o777);
  try {
    const { stdout } = spawnSync(process.execPath, ['test/support/look-child.ts', place.folder], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: scratch },
    });
    return stdout.trim();
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** As a killed agent leaves it: nobody listens on it, and it is for its user only. */
async function leaveSocket(): Promise<void> {
  const path = join(place.folder, 'agent.sock');
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
}

test('who may not read the folder is told that it is not for him', async () => {
  await chmod(place.folder, IS_ROOT ? 0o700 : 0o000);
  expect(await asAnother()).toBe('STORE_FORBIDDEN STORE_FORBIDDEN');
}, 60_000);

test('who may read it reads it, whatever a killed agent left', async () => {
  await chmod(place.folder, 0o755);
  await leaveSocket();
  if (!IS_ROOT) await chmod(join(place.folder, 'agent.sock'), 0o000);
  expect(await asAnother()).toBe('AGENT_NOT_RUNNING OK');
}, 60_000);

test('an agent that runs answers its own user only', async () => {
  await chmod(place.folder, 0o755);
  await leaveSocket();
  if (!IS_ROOT) await chmod(join(place.folder, 'agent.sock'), 0o000);
  const store = await place.open();
  expect(await asAnother()).toBe('STORE_FORBIDDEN STORE_LOCKED');
  await store.close();
}, 60_000);
