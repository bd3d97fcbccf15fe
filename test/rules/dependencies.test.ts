import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { modulesBelow, ROOT, type SourceModule } from './source-tree.ts';

/**
 * The dependency rule of ARCHITECTURE.md as a table: imports point down
 * `main → cli → agent → {admin, mirror} → store → leaves`, at each step only through the narrow
 * door, and every outside library has one home. Type-only imports count: a type cycle is a design
 * cycle. The counts at the end make sure that the test sees the tree at all.
 */
const modules = modulesBelow('src');

type Layer = 'main' | 'page' | 'cli' | 'agent' | 'admin' | 'mirror' | 'store' | 'leaf';

function layerOf(path: string): Layer {
  const [, first = '', rest] = path.split('/');
  if (rest === undefined) return first === 'main.ts' ? 'main' : 'leaf';
  if (first === 'cli' || first === 'agent' || first === 'admin') return first;
  if (first === 'mirror' || first === 'store' || first === 'page') return first;
  throw new Error(`${path}: no layer is known for src/${first}; add it to the dependency rule`);
}

/** What a layer may import besides itself and the leaves. */
const MAY_IMPORT: Readonly<Record<Layer, readonly Layer[]>> = {
  main: ['cli'],
  // Runs in a browser: it takes nothing but types.
  page: ['admin', 'mirror'],
  cli: ['agent', 'admin', 'mirror', 'store'],
  agent: ['admin', 'mirror', 'store'],
  admin: ['mirror', 'store'],
  mirror: ['store'],
  store: [],
  leaf: [],
};

/** Doors: the only modules of a layer that the layers above it may import, and who may. */
const DOORS: Readonly<Record<string, RegExp>> = {
  'src/store/log.ts': /^src\/(?:agent|admin|mirror|cli)\//u,
  'src/store/quota-engine.ts': /^src\/cli\/rehearse\//u,
  'src/store/open.ts': /^src\/(?:agent\/agent|cli\/)/u,
  'src/store/look.ts': /^src\/cli\/doctor-/u,
  'src/store/ledger-refill.ts': /^src\/cli\/ledger\.ts$/u,
  'src/store/quarantine-folder.ts': /^src\/agent\/control\.ts$/u,
};

/** One home for every outside library. */
const HOMES: Readonly<Record<string, RegExp>> = {
  aedes: /^src\/agent\/broker/u,
  'mqtt-packet': /^src\/agent\/broker/u,
  level: /^src\/store\//u,
  'classic-level': /^src\/store\//u,
  'abstract-level': /^src\/store\//u,
  'memory-level': /^src\/store\//u,
  msgpackr: /^src\/store\//u,
  'node-cron': /^src\/cron\.ts$/u,
  '@platformatic/kafka': /^src\/mirror\/kafka\//u,
  mqtt: /^src\/mirror\/mqtt\//u,
  jose: /^src\/agent\/token-/u,
  yaml: /^src\/agent\/config/u,
  zod: /^src\/agent\/config/u,
  pino: /^src\/agent\/logger\.ts$/u,
  'pino-pretty': /^src\/agent\/logger\.ts$/u,
  yargs: /^src\/cli\//u,
  fastify: /^src\/admin\/http-/u,
  '@fastify/swagger': /^src\/admin\/http-/u,
  'prom-client': /^src\/admin\/metrics/u,
  '@opentelemetry/api': /^src\/admin\/otlp-exporter/u,
  '@opentelemetry/exporter-metrics-otlp-proto': /^src\/admin\/otlp-exporter/u,
  '@opentelemetry/resources': /^src\/admin\/otlp-exporter/u,
  '@opentelemetry/sdk-metrics': /^src\/admin\/otlp-exporter/u,
  'modern-tar': /^src\/cli\/bundle\//u,
  ws: /^src\/agent\/broker-websocket/u,
};

function allowed(from: SourceModule, to: string): boolean {
  const here = layerOf(from.path);
  const there = layerOf(to);
  if (here === there || there === 'leaf') return true;
  if (!MAY_IMPORT[here].includes(there)) return false;
  if (there !== 'store') return true;
  return DOORS[to]?.test(from.path) ?? false;
}

describe('dependency rule', () => {
  test('every import of ours points down, through the door', () => {
    const broken = modules.flatMap((module) =>
      module.own.filter((to) => !allowed(module, to)).map((to) => `${module.path} → ${to}`),
    );
    expect(broken).toEqual([]);
  });

  test('the broker and the mirror never meet', () => {
    const root = /^src\/agent\/(?:agent|config|mirrors?|compose)/u;
    const broken = modules
      .filter((module) => layerOf(module.path) === 'agent' && !root.test(module.path))
      .flatMap((module) =>
        module.own.filter((to) => layerOf(to) === 'mirror').map((to) => `${module.path} → ${to}`),
      );
    expect(broken).toEqual([]);
  });

  test('the page takes nothing but types from the agent', () => {
    const page = modules.filter((module) => layerOf(module.path) === 'page');
    expect(page.length).toBeGreaterThan(10);
    const broken = page.flatMap(({ path }) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      const taken = text.match(/^import (?!type )[^;]*'\.\.\/[^']*'/gmu) ?? [];
      return taken.map((line) => `${path}: ${line}`);
    });
    expect(broken).toEqual([]);
  });

  test('every outside library has one home', () => {
    const broken = modules.flatMap((module) =>
      module.outside
        .filter((name) => !name.startsWith('node:'))
        .filter((name) => HOMES[name]?.test(module.path) !== true)
        .map((name) => `${module.path} → ${name}`),
    );
    expect(broken).toEqual([]);
  });

  test('every import of ours names a file that exists', () => {
    const missing = modules.flatMap((module) =>
      module.own.filter((to) => !existsSync(join(ROOT, to))).map((to) => `${module.path} → ${to}`),
    );
    expect(missing).toEqual([]);
  });

  test('there are no cycles, type imports counted', () => {
    const graph = new Map(modules.map((module) => [module.path, module.own]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
        return;
      }
      if (done.has(path)) return;
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const module of modules) visit(module.path, []);
    expect(cycles).toEqual([]);
  });

  test('the table saw the whole tree', () => {
    const layers = new Set(modules.map((module) => layerOf(module.path)));
    expect([...layers].toSorted()).toEqual(
      ['admin', 'agent', 'cli', 'leaf', 'main', 'mirror', 'page', 'store'].toSorted(),
    );
    expect(modules.length).toBeGreaterThan(60);
    expect(modules.flatMap((module) => module.own).length).toBeGreaterThan(200);
    const used = new Set(modules.flatMap((module) => module.outside));
    for (const name of ['aedes', 'level', 'msgpackr', 'node-cron', '@platformatic/kafka', 'mqtt']) {
      expect(used, `${name} is imported somewhere`).toContain(name);
    }
  });
});
