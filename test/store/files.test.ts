import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeFolder } from '../../src/store/files.ts';

test('a data folder that we make is nobody else’s, and one that is there stays as it is', async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'gatelog-files-'));
  const mask = process.umask(0o022);
  try {
    const data = path.join(root, 'var', 'data');
    await makeFolder(data);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(statSync(path.dirname(data)).mode & 0o777).toBe(0o755);
    await makeFolder(path.dirname(data));
    expect(statSync(path.dirname(data)).mode & 0o777).toBe(0o755);
  } finally {
    process.umask(mask);
    rmSync(root, { recursive: true });
  }
});
