import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ConfigDocument, readConfigDocument } from '../../src/agent/config-document.ts';
import { parseConfig } from '../../src/agent/config.ts';
import { machineId } from '../../src/agent/machine-id.ts';

/** What `${…}` in a configuration stands for. */
let folder: string;
let machineIdFile: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-sources-'));
  machineIdFile = path.join(folder, 'machine-id');
});
afterEach(() => rmSync(folder, { recursive: true }));

function read(value: string, env: Record<string, string> = {}): ConfigDocument {
  const text = `gateway: ${JSON.stringify(value)}\n`;
  return readConfigDocument(text, 'g.yaml', { env, folder, machineIdFile });
}

test.each([
  ['${SITE}', 'north'],
  ['gw-${SITE}-${NUMBER:-7}', 'gw-north-7'],
  ['${env:SITE}', 'north'],
  ['${env:NONE:-a:b-c}', 'a:b-c'],
  ['${EMPTY:-full}', 'full'],
  ['${EMPTY}', ''],
  ['${NONE:-}', ''],
  ['$${SITE}', '${SITE}'],
])('%s is %j', (text, value) => {
  const document = read(text, { SITE: 'north', EMPTY: '' });
  expect(document.problems).toEqual([]);
  expect(document.value).toMatchObject({ gateway: value });
});

test('numbers and durations may come from the environment, too', () => {
  const text = 'mqtt: {maxConnections: "${MOST:-50}", sysInterval: "${EVERY}"}\n';
  const { config } = parseConfig(text, 'g.yaml', { env: { EVERY: '30s' }, workingFolder: folder });
  expect(config.mqtt).toMatchObject({ maxConnections: 50, sysIntervalMs: 30_000 });
});

test.each([
  ['${NONE}', 'the environment has no variable NONE'],
  ['${a b}', 'expected ${NAME}, ${NAME:-DEFAULT}, ${file:PATH}'],
  ['${machine-id}', 'holds no id of this machine'],
])('%s is refused with its place', (text, message) => {
  const [problem] = read(text).problems;
  expect(problem?.place).toMatchObject({ file: 'g.yaml', line: 1, key: 'gateway' });
  expect(problem?.message).toContain(message);
});

test('an id of the machine that does not tell /etc/machine-id', () => {
  writeFileSync(machineIdFile, '0123456789abcdef0123456789abcdef\n');
  const id = machineId(machineIdFile);
  // As systemd-id128(1) makes it, with --app-specific and our id.
  expect(id).toBe('c199a25cf0d744e9b0cd3dc46000765d');
  expect(read('gw-${machine-id}').value).toMatchObject({ gateway: `gw-${id}` });
  for (const text of ['', 'uninitialized', '0'.repeat(32), 'x']) {
    writeFileSync(machineIdFile, `${text}\n`);
    expect(machineId(machineIdFile)).toBeUndefined();
  }
});
