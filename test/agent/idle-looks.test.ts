import { createHook } from 'node:async_hooks';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { timesyncdSource } from '../../src/agent/clock-sources.ts';
import { kernelSource } from '../../src/agent/wear-files.ts';
import { lookAtNetwork } from '../../src/mirror/network-watch.ts';

/**
 * What an idle agent looks at each second or ten: each request that goes by way of libuv's threads wakes one of them, and
 * then the agent. `npm run bench:idle` has the figures of a whole agent.
 */
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-idle-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Requests to libuv's threads that a look makes. */
async function requestsOf(look: () => Promise<unknown>): Promise<string[]> {
  const made: string[] = [];
  const hook = createHook({
    init: (_, type) => {
      if (/REQ/u.test(type)) made.push(type);
    },
  });
  hook.enable();
  try {
    await look();
  } finally {
    hook.disable();
  }
  return made;
}

test('the counter counts', async () => {
  const { readFile } = await import('node:fs/promises');
  const made = await requestsOf(() => readFile('/proc/net/route'));
  expect(made.length).toBeGreaterThan(3);
});

test('a look at the network is one request: a file of resolvers that may be on a disk', async () => {
  await lookAtNetwork();
  expect(await requestsOf(lookAtNetwork)).toEqual(['FSREQPROMISE']);
});

test('what the kernel counts and what timesyncd says is none', async () => {
  const wear = await kernelSource(folder);
  expect(await requestsOf(() => wear.read())).toEqual([]);
  expect(await requestsOf(() => timesyncdSource(folder).ask())).toEqual([]);
});
