import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseConfig } from '../../../src/agent/config.ts';
import { centralConfig, edgeConfig, openDemoFolder } from '../../../src/cli/demo/folder.ts';
import { seededRandom } from '../../../src/random.ts';

let root: string;
const surroundings = { env: {}, workingFolder: '/' };

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gatelog demo "folder'));
});

afterEach(async () => rm(root, { recursive: true }));

test('the configurations are ones that the agent takes without a warning', async () => {
  const folder = await openDemoFolder(root, seededRandom(1));
  const upstream = { kind: 'gatelog', port: 2000 } as const;
  const edge = parseConfig(edgeConfig({ folder, port: 1883, upstream }), 'e.yaml', surroundings);
  expect(edge.warnings).toEqual([]);
  expect(edge.config).toMatchObject({
    gateway: folder.gateway,
    data: join(root, 'edge'),
    mqtt: { listen: [{ url: 'mqtt://127.0.0.1:1883' }], central: false },
    mirrors: { central: { upstream: { kind: 'mqtt', url: 'mqtt://127.0.0.1:2000' } } },
  });
  const central = parseConfig(centralConfig(folder, 1884), 'c.yaml', surroundings);
  expect(central.warnings).toEqual([]);
  expect(central.config).toMatchObject({ data: join(root, 'central'), mqtt: { central: true } });
  const edgeKept = edge.config.topics['telemetry']?.retentionMs ?? Infinity;
  expect(edgeKept).toBeLessThan(central.config.topics['telemetry']?.retentionMs ?? 0);

  const kafka = { kind: 'kafka', brokers: ['127.0.0.1:9092', '[::1]:9092'] } as const;
  const toKafka = edgeConfig({ folder, port: 1883, upstream: kafka });
  expect(parseConfig(toKafka, 'k.yaml', surroundings).config.mirrors['kafka']).toMatchObject({
    upstream: { kind: 'kafka', brokers: kafka.brokers, delivery: 'exactly-once' },
  });
});

test('a folder keeps its gateway for later runs', async () => {
  const first = await openDemoFolder(root, seededRandom(1));
  const second = await openDemoFolder(root, seededRandom(2));
  expect(first.gateway).toMatch(/^demo-[0-9a-f]{6}$/u);
  expect(second.gateway).toBe(first.gateway);
  expect([first.continued, second.continued]).toEqual([false, true]);
  await writeFile(join(root, 'demo.json'), '{"gateway": "a/b"}');
  expect((await openDemoFolder(root, seededRandom(3))).continued).toBe(false);
});

test('a folder that cannot be used is told with what to do', async () => {
  const file = join(root, 'file');
  await writeFile(file, '');
  await expect(openDemoFolder(file, seededRandom(1))).rejects.toThrow(
    /can't be used .*ENOTDIR.*--data DIR/u,
  );
});
