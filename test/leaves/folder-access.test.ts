import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { refuseOwnedByOther } from '../../src/folder-access.ts';
import { startHint } from '../../src/service-place.ts';

const ROOT = 0;
const SOMEBODY = 1;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-owner-'));
  if (process.getuid?.() === ROOT) chownSync(folder, SOMEBODY, SOMEBODY);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('root at the data folder of another user', () => {
  test('is told how the agent is started as that user', async () => {
    await expect(refuseOwnedByOther(folder, ROOT)).rejects.toMatchObject({
      code: 'STORE_FORBIDDEN',
      message: expect.stringMatching(/is user \S+'s, .*sudo -u \S+ gatelog run/u),
    });
  });

  test('makes one of its own where there is none', async () => {
    await expect(refuseOwnedByOther(path.join(folder, 'new'), ROOT)).resolves.toBeUndefined();
  });

  test('no other user can do that harm', async () => {
    await expect(refuseOwnedByOther(folder, 12_345)).resolves.toBeUndefined();
  });
});

test('the service’s agent is started by systemd, any other by hand', () => {
  expect(startHint('/var/lib/gatelog')).toContain('systemctl start gatelog');
  expect(startHint('/srv/log')).toBe('start one with gatelog run --data /srv/log');
});
