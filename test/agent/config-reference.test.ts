import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configKeys, defaultConfig, parseConfig } from '../../src/agent/config.ts';
import { uncommented } from '../support/docs/config-words.ts';
import { REFERENCE, referenceText } from '../support/docs/reference.ts';

/** Holds config/ to the schema, so that neither can change without the other. */
const CONFIG = path.join(import.meta.dirname, '../../config');
const reference = readFileSync(path.join(CONFIG, 'gatelog.yaml'), 'utf8');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-reference-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Makes the files that the text refers to, so that it can be read. */
function load(text: string): ReturnType<typeof parseConfig> {
  for (const [, name = ''] of text.matchAll(/\$\{file:([^}]+)\}/gu)) {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    const token = `${name.replaceAll(/\W/gu, '-')}-${'x'.repeat(32)}\n`;
    const isToken = name.includes('token');
    writeFileSync(file, isToken ? token : `-----BEGIN TEST-----\n${'x'.repeat(32)}\n`);
  }
  const env = { GATELOG_KEY_PASSPHRASE: 'x' };
  return parseConfig(text, path.join(folder, 'gatelog.yaml'), { env, workingFolder: folder });
}

const FREE_NAMES = new Set(['topics', 'mirrors', 'mqtt.roles', 'metrics.otlp.headers']);

/** The options in a parsed file as the schema names them: free names as `*`, items as `[]`. */
function keysIn(value: unknown, above: string, free: ReadonlySet<string>): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => keysIn(item, `${above}[]`, free));
  if (typeof value !== 'object' || value === null) return [];
  const keys: string[] = [];
  for (const [key, inner] of Object.entries(value)) {
    const full = above === '' ? key : `${above}.${key}`;
    if (free.has(above)) keys.push(...keysIn(inner, `${above}.*`, free));
    else keys.push(full, ...keysIn(inner, full, free));
  }
  return keys;
}

describe('config/gatelog.yaml', () => {
  test('gives the defaults as it stands', () => {
    const { config, warnings } = load(reference);
    const { gateway, ...defaults } = defaultConfig({ env: {}, workingFolder: folder });
    expect(gateway).not.toBe('');
    expect(config).toEqual({ ...defaults, gateway });
    expect(warnings).toEqual([]);
  });

  test('is good with every option switched on, and names every option of the schema', () => {
    const text = uncommented(reference);
    expect(load(text).warnings).toEqual([]);
    const found = new Set(keysIn(parse(text), '', FREE_NAMES));
    expect([...found].toSorted()).toEqual([...new Set(configKeys())].toSorted());
    expect(found.size).toBeGreaterThan(60);
  });

  test('says the truth about the defaults of a mirror', () => {
    const bare = load('mirrors: {central: {kafka: {brokers: [k:1]}}}').config.mirrors['central'];
    const full = load(uncommented(reference)).config.mirrors['central'];
    const made = {
      brokers: expect.anything(),
      compressionLevel: undefined,
      transactionalId: undefined,
      group: undefined,
      clusterId: undefined,
      replaces: undefined,
      tls: undefined,
      sasl: undefined,
      // 5s to begin with, and then as long as it takes: no number says that.
      transactionTimeoutMs: undefined,
    };
    expect({
      ...full,
      batch: undefined,
      link: undefined,
      upstream: { ...full?.upstream, ...made },
    }).toEqual({
      ...bare,
      batch: undefined,
      upstream: { ...bare?.upstream, brokers: expect.anything() },
    });
  });
});

test('docs/reference.md is what the schema and the reference make of it (npm run docs:reference)', () => {
  const text = readFileSync(REFERENCE, 'utf8');
  expect(text).toBe(referenceText());
  const entries = [...text.matchAll(/^\*\*`([^`]+)`\*\* · (.*)$/gmu)];
  const keys = entries.map(([, key]) => key ?? '');
  expect(keys.toSorted()).toEqual([...new Set(configKeys())].toSorted());
  expect(text).toContain(
    '**`mqtt.maxPacket`** · a size from 1KiB to 960KiB, such as 256KiB; default: `960KiB`',
  );
});

describe('config/examples', () => {
  const names = readdirSync(path.join(CONFIG, 'examples'));

  test('are those that the documents name', () => {
    expect(names.toSorted()).toEqual([
      'kafka-sasl-tls.yaml',
      'kafka.yaml',
      'listeners.yaml',
      'minimal.yaml',
      'mqtt-central.yaml',
    ]);
  });

  test.each(names)('%s is good and without a warning', (name) => {
    const text = readFileSync(path.join(CONFIG, 'examples', name), 'utf8');
    expect(load(text).warnings).toEqual([]);
  });
});
