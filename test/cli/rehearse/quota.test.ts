import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { verdictOf } from '../../../src/cli/rehearse/report.ts';
import { fillQuota } from '../../../src/cli/rehearse/quota.ts';
import { systemRandom } from '../../../src/random.ts';
import { systemClock } from '../../../src/time.ts';

/** What people get who may not mount a disk; root gets a real one (test/edge/rehearse.test.ts). */
test('a store reaches its quota, refuses, goes on with more of it, and loses nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gatelog-quota-'));
  try {
    const { done, checks } = await fillQuota({
      folder: join(folder, 'disk'),
      forMs: 1000,
      clock: systemClock,
      random: systemRandom,
      env: process.env,
      signal: new AbortController().signal,
      ask: () => Promise.reject(new Error('no agent takes part')),
    });
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(verdictOf(checks)).toBe('passed');
    expect(done).toMatch(/reached [1-9]/u);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 120_000);
