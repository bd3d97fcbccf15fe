import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { METRIC_FAMILIES } from '../../src/admin/metric-families.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { until } from '../support/hunt/wait.ts';
import { type OtlpMetric } from '../support/otlp-request.ts';
import { OtlpReceiver, type Received } from '../support/otlp-receiver.ts';

/** A whole agent, and a collector that takes what it sends. */
let cli: CliFolder;
let collector: OtlpReceiver;
beforeEach(async () => {
  cli = new CliFolder();
  collector = await OtlpReceiver.open();
});
afterEach(async () => {
  await cli.remove();
  await collector.close();
});

async function startAgent(config: object): Promise<{ mqtt: string; http: string }> {
  writeFileSync(path.join(cli.folder, 'g.yaml'), JSON.stringify(config));
  const agent = await cli.start(['run', '--config', 'g.yaml']);
  const [, http = ''] = await agent.waitFor(/"http\.listening","listeners":\["(http:[^"]+)"/u);
  const [, mqtt = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return { mqtt, http };
}

/** The first export that this is true of. */
async function exported(isIt: (one: Received) => boolean): Promise<Received> {
  const find = (): Received | undefined => collector.received.find(isIt);
  await until(
    () => find() !== undefined,
    60_000,
    () => `such an export, of ${collector.received.length}`,
  );
  const found = find();
  if (found === undefined) throw new Error('it is gone');
  return found;
}

function metric({ metrics }: Received, name: string): OtlpMetric | undefined {
  return metrics.find((one) => one.name === name);
}

/** A name and labels, in one order. */
function series(name: string, labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `${name}{${pairs.toSorted().join()}}`;
}

/** What Prometheus's text has, histograms by their name alone. */
function seriesIn(text: string): Set<string> {
  const histograms = METRIC_FAMILIES.filter(({ type }) => type === 'histogram');
  const parts = new Set(histograms.flatMap(({ name }) => [`${name}_sum`, `${name}_bucket`]));
  const found = new Set<string>();
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gmu)) {
    const pairs = labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/gu);
    const all = Object.fromEntries([...pairs].map(([, key, value]) => [key, value ?? '']));
    if (!parts.has(name)) found.add(series(name.replace(/_count$/u, ''), all));
  }
  return found;
}

test('a collector has what /metrics has, under the same names and labels', async () => {
  const { mqtt, http } = await startAgent({
    gateway: 'plant-7',
    http: { listen: ['http://127.0.0.1:0'] },
    mqtt: { listen: ['mqtt://127.0.0.1:0'] },
    mirrors: { central: { mqtt: { url: 'mqtt://127.0.0.1:1' } } },
    metrics: {
      otlp: { url: collector.url, interval: '5s', headers: { Authorization: 'Bearer abc' } },
    },
  });
  const messages = Array.from({ length: 40 }, (_, at) => ({ topic: `plant/${at}`, payload: 'x' }));
  await publish(mqtt, messages);
  const all = await exported(
    (one) => metric(one, 'gatelog_received_messages_total')?.points[0]?.value === 40,
  );
  expect(all.headers.authorization).toBe('Bearer abc');
  expect(all.resource).toMatchObject({ 'service.name': 'gatelog', 'gatelog.gateway': 'plant-7' });
  const text = await (await fetch(`${http}/metrics`)).text();
  const sent = all.metrics.flatMap(({ name, points }) =>
    points.map(({ attributes }) => series(name, attributes)),
  );
  expect(new Set(sent)).toEqual(seriesIn(text));
  for (const { name, description, kind } of all.metrics) {
    const family = METRIC_FAMILIES.find((one) => one.name === name);
    expect(description).toBe(family?.help);
    expect(kind).toBe(family?.type === 'counter' ? 'sum' : family?.type);
  }
  const commits = metric(all, 'gatelog_commit_duration_seconds');
  const [{ count = -1, bucketCounts = [], bounds = [], sum = 0 } = {}] = commits?.points ?? [];
  expect(count).toBeGreaterThan(0);
  expect(bucketCounts.reduce((total, one) => total + one, 0)).toBe(count);
  expect(bucketCounts.length).toBe(bounds.length + 1);
  expect(sum).toBeGreaterThan(0);
  expect(commits?.unit).toBe('s');
});

test('an agent without its log sends how it is, too', async () => {
  await startAgent({
    data: './data',
    store: { mustExist: true },
    http: { listen: ['http://127.0.0.1:0'] },
    mqtt: { listen: ['mqtt://127.0.0.1:0'] },
    metrics: { otlp: { url: collector.url, interval: '5s' } },
  });
  const first = await exported(() => true);
  expect(metric(first, 'gatelog_degraded')?.points[0]?.value).toBe(1);
  expect(metric(first, 'gatelog_ready')?.points[0]?.value).toBe(0);
});
