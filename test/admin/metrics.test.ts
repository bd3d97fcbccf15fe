import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { METRIC_FAMILIES } from '../../src/admin/metric-families.ts';
import { Metrics } from '../../src/admin/metrics.ts';
import { bounded, type MetricSource, OTHERS } from '../../src/admin/metrics-family.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { HTTP_LIMITS } from '../../src/http-limits.ts';
import { LATENCY_BOUNDS_MS, LatencyMeter } from '../../src/latency-counts.ts';

/** Names, forms and bounds of the metrics; their figures are checked with a whole agent (edge/http). */
const ROOT = join(import.meta.dirname, '../..');
const NAMES = new Set(METRIC_FAMILIES.map(({ name }) => name));

const PROCESS = {
  cpuSeconds: 1,
  busySeconds: 1,
  residentBytes: 1,
  anonymousBytes: null,
  heapBytes: 1,
  externalBytes: 1,
  openFiles: null,
  openFilesMax: null,
};

function sourceOf(status: Partial<AgentStatus>): MetricSource {
  const empty = {
    degraded: null,
    clock: null,
    ingest: null,
    store: null,
    wear: null,
    certificates: [],
    accessFiles: [],
    topics: [],
    mirrors: [],
    http: { listeners: [], trouble: null },
    startedAt: '2026-11-27T00:00:00.000Z',
  };
  return {
    status: { ...empty, ...status } as unknown as AgentStatus,
    process: PROCESS,
    logged: { info: 3, warn: 2, error: 1 },
  };
}

describe('names', () => {
  test('are Prometheus’s, each once, with a help that is a sentence', () => {
    expect(NAMES.size).toBe(METRIC_FAMILIES.length);
    const strange = METRIC_FAMILIES.filter(
      ({ name, type, help }) =>
        !/^(?:gatelog|process|nodejs)_[a-z0-9_]+$/u.test(name) ||
        name.endsWith('_total') !== (type === 'counter') ||
        !/^.{10,}\.$/u.test(help),
    );
    expect(strange).toEqual([]);
  });

  test('stand in docs/metrics.md, and none beside', () => {
    const text = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');
    const listed = [...text.matchAll(/^\| `(\w+)/gmu)].map(([, name]) => name);
    expect(listed).toEqual([...NAMES]);
  });
});

describe('what asks for them', () => {
  /** Names in PromQL, without functions, labels and what it knows by itself. */
  function asked(expression: string): string[] {
    return [...expression.matchAll(/\b(?:gatelog|process|nodejs)_\w+/gu)].map(([name]) =>
      name.replace(/_(?:bucket|sum|count)$/u, ''),
    );
  }

  test('the alert rules name only what there is, and say what to do', () => {
    const text = readFileSync(join(ROOT, 'deploy/prometheus/gatelog-alerts.yml'), 'utf8');
    interface Rule {
      readonly alert: string;
      readonly expr: string;
      readonly labels: { readonly severity: string };
      readonly annotations: { readonly summary: string; readonly description: string };
    }
    const { groups } = parse(text) as { groups: { rules: Rule[] }[] };
    const rules = groups.flatMap(({ rules: each }) => each);
    expect(rules.length).toBeGreaterThan(15);
    const strange = rules.filter(
      ({ alert, expr, labels, annotations }) =>
        !/^Gatelog[A-Z]\w+$/u.test(alert) ||
        !['warning', 'critical'].includes(labels.severity) ||
        !annotations.description.endsWith('.') ||
        asked(expr).some((name) => !NAMES.has(name)),
    );
    expect(strange).toEqual([]);
  });

  test('the dashboard names only what there is, and its panels stand apart', () => {
    const text = readFileSync(join(ROOT, 'deploy/grafana/gatelog.json'), 'utf8');
    interface Panel {
      readonly id: number;
      readonly gridPos: { readonly x: number; readonly w: number };
      readonly targets?: readonly { readonly expr: string }[];
    }
    const board = JSON.parse(text) as {
      panels: Panel[];
      templating: { list: { definition?: string }[] };
    };
    const { panels } = board;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const questions = [
      ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      ...board.templating.list.flatMap(({ definition = '' }) => definition),
    ];
    expect(questions.length).toBeGreaterThan(40);
    for (const name of questions.flatMap(asked)) expect(NAMES).toContain(name);
    const wide = panels.filter(({ gridPos }) => gridPos.x + gridPos.w > 24);
    expect(wide).toEqual([]);
  });
});

describe('text', () => {
  test('what nobody knows has no sample, and is not 0', async () => {
    const text = await new Metrics().text(sourceOf({}));
    expect(text).toContain('# TYPE gatelog_disk_free_bytes gauge');
    expect(text).not.toMatch(/^gatelog_disk_free_bytes/mu);
    expect(text).not.toMatch(/^process_open_fds/mu);
    expect(text).toMatch(/^gatelog_ready 0$/mu);
    expect(text).toMatch(/^gatelog_log_lines_total\{level="warn"\} 2$/mu);
  });

  test('names of topics and files may hold anything', async () => {
    const file = '/etc/a "b"\n\\c.pem';
    const certificates = [{ file, expiresAt: '1970-01-01T00:00:10.000Z', trouble: null }];
    const text = await new Metrics().text(
      sourceOf({ certificates } as unknown as Partial<AgentStatus>),
    );
    expect(text).toContain(
      'gatelog_certificate_expiry_timestamp_seconds{file="/etc/a \\"b\\"\\n\\\\c.pem"} 10\n',
    );
  });
});

test('a latency is counted once, in the first bound that holds it', () => {
  const meter = new LatencyMeter();
  for (const ms of [0, 0.5, 0.6, 10_000, 10_001]) meter.observe(ms);
  const { counts, totalMs } = meter.status();
  expect(counts).toHaveLength(LATENCY_BOUNDS_MS.length + 1);
  expect([counts[0], counts[1], counts.at(-2), counts.at(-1)]).toEqual([2, 1, 1, 1]);
  expect(totalMs).toBeCloseTo(20_002.1);
  const family = METRIC_FAMILIES.find(({ name }) => name === 'gatelog_commit_duration_seconds');
  const store = { commitLatency: meter.status(), appendLatency: meter.status() };
  const losses = { losses: {}, disk: {}, scrub: {}, ...store };
  const samples =
    family?.read(sourceOf({ store: losses } as unknown as Partial<AgentStatus>)) ?? [];
  const bucket = (le: string): number | undefined =>
    samples.find(({ labels }) => labels['le'] === le)?.value;
  expect([bucket('0.0005'), bucket('0.001'), bucket('10'), bucket('+Inf')]).toEqual([2, 3, 4, 5]);
  expect(samples.at(-1)).toMatchObject({ metricName: expect.stringMatching(/_count$/u), value: 5 });
});

test('labels are bounded: what is beyond is put together', () => {
  const things = Array.from({ length: 500 }, (_, at) => ({ name: `t${at}`, size: 1 }));
  const together = (rest: readonly { size: number }[]): { name: string; size: number } => ({
    name: '',
    size: rest.reduce((sum, { size }) => sum + size, 0),
  });
  const found = bounded(things, together);
  expect(found).toHaveLength(HTTP_LIMITS.metricTopics);
  expect(found.at(-1)).toEqual({ name: OTHERS, size: 500 - HTTP_LIMITS.metricTopics + 1 });
  expect(found.reduce((sum, { size }) => sum + size, 0)).toBe(500);
  expect(bounded(things.slice(0, 3), together)).toHaveLength(3);
});
