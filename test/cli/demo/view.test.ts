import { describe, expect, test } from 'vitest';
import type { ChildPhase } from '../../../src/cli/demo/child.ts';
import type { DemoState, LinkView } from '../../../src/cli/demo/state.ts';
import { colours, noColours, widthOf } from '../../../src/cli/demo/text.ts';
import { renderView, statusLine } from '../../../src/cli/demo/view.ts';
import { sampleState } from './state.ts';

const SIZES = [
  [50, 12],
  [60, 20],
  [80, 24],
  [81, 25],
  [140, 40],
  [300, 100],
] as const;

function states(): DemoState[] {
  const sample = sampleState();
  const long = 'x'.repeat(500);
  const links: readonly LinkView[] = ['up', 'cut', 'black-hole', 'paused'];
  const phases: readonly ChildPhase[] = ['starting', 'running', 'restarting', 'stopped', 'failed'];
  return [
    sample,
    ...links.map((link) => sampleState({ link })),
    ...phases.map((phase) => sampleState({ edge: { ...sample.edge, phase } })),
    sampleState({ events: [{ atMs: 0, text: long, tone: 'warn' }], notice: long }),
    sampleState({ flow: { ...sample.flow, mirror: long, reason: long, durable: 123_456_789_012 } }),
    sampleState({ centre: { kind: 'kafka', brokers: long }, link: 'paused', forMs: 30_000 }),
    sampleState({
      flow: {
        durable: undefined,
        mirrored: undefined,
        lagRecords: undefined,
        lagMs: undefined,
        mirror: 'not started',
        reason: undefined,
      },
      history: { inPerSecond: [], outPerSecond: [], lagRecords: [] },
      readings: [],
      events: [],
    }),
    sampleState({ sensors: { ...sample.sensors, paused: true, connected: 7, speed: 50 } }),
  ];
}

describe('the live view', () => {
  test.each(SIZES)('fits %d columns and %d rows in every state', (columns, rows) => {
    for (const state of states()) {
      const lines = renderView(state, { columns, rows }, noColours);
      expect(lines.length).toBe(rows);
      for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(columns);
    }
  });

  test('colours change no width', () => {
    for (const state of states()) {
      const plain = renderView(state, { columns: 80, rows: 24 }, noColours);
      const coloured = renderView(state, { columns: 80, rows: 24 }, colours);
      expect(coloured.map(widthOf)).toEqual(plain.map(widthOf));
      expect(coloured.join('')).toContain('\u001b[');
    }
  });

  test('shows the whole way with its figures at 80 by 24', () => {
    const lines = renderView(sampleState(), { columns: 80, rows: 24 }, noColours);
    const text = lines.join('\n');
    expect(text).toMatch(/sensors ● 20\/20 connected +in +\d+ msg\/s {2}[▁▂▃▄▅▆▇█]{10,}/u);
    expect(text).toMatch(/waiting 3, again 12 +acknowledged +2,941/u);
    expect(text).toMatch(/edge {4}● running, pid 4711 +durable +12,345/u);
    expect(text).toMatch(/mqtt:\/\/127\.0\.0\.1:1883 +restarts +1/u);
    expect(text).toMatch(/lag +45 · 1\.2 s/u);
    expect(text).toMatch(/central ● running, pid 4712 +mirrored +12,300  stored 12,300/u);
    expect(text).toContain('temp-hall-0  20.0 °C');
    expect(text).toContain('agent killed (SIGKILL), restarting');
    expect(lines.at(-1)).toContain('c  cut link');
    expect(lines.at(-1)).toContain('q  quit');
  });

  test('says what a key does now', () => {
    const size = { columns: 80, rows: 24 };
    const sensors = { ...sampleState().sensors, paused: true };
    const cut = renderView(sampleState({ link: 'cut', sensors }), size, noColours).at(-1);
    expect(cut).toContain('c  restore');
    expect(cut).toContain('p  go on');
    const kafka = sampleState({ centre: { kind: 'kafka', brokers: '127.0.0.1:9092' } });
    expect(renderView(kafka, size, noColours).at(-1)).toContain('c  pause mirror');
    expect(renderView(kafka, size, noColours).at(-1)).not.toContain('black hole');
  });

  test('says why the mirror waits where there is room for it', () => {
    const { flow } = sampleState();
    const state = sampleState({ flow: { ...flow, mirror: 'backing off', reason: 'no way' } });
    const at = (columns: number): string =>
      renderView(state, { columns, rows: 24 }, noColours).join('');
    expect(at(140)).toContain('mirror backing off: no way');
    expect(at(80)).toMatch(/mirror backing off +lag/u);
    expect(at(50)).toMatch(/ backing off +lag/u);
  });

  test('the keys fit at every width that is drawn', () => {
    const keysAt = (columns: number): string =>
      renderView(sampleState(), { columns, rows: 24 }, noColours).at(-1) ?? '';
    for (let columns = 50; columns <= 160; columns++) {
      expect(keysAt(columns)).toMatch(/ c .+ b .+ k .+ p .+ \+- .+ q {1,2}quit/u);
    }
    expect(keysAt(80)).not.toContain(' K ');
    expect(keysAt(100)).toContain('K  kill central');
  });

  test('the newest events stay when there is little room', () => {
    const events = Array.from({ length: 50 }, (_, index) => ({
      atMs: index,
      text: `event ${index}`,
      tone: 'plain' as const,
    }));
    const text = renderView(sampleState({ events }), { columns: 80, rows: 16 }, noColours).join();
    expect(text).toContain('event 49');
    expect(text).not.toContain('event 12');
  });

  test('a terminal that is too small gets one line', () => {
    expect(renderView(sampleState(), { columns: 30, rows: 24 }, noColours)).toHaveLength(1);
    expect(renderView(sampleState(), { columns: 80, rows: 5 }, noColours)).toHaveLength(1);
    expect(renderView(sampleState(), { columns: 80, rows: 0 }, noColours)).toHaveLength(0);
  });
});

test('a log line holds every figure', () => {
  const line = statusLine(sampleState());
  expect(line).toMatch(/in \d+ msg\/s/u);
  expect(line).toContain('acknowledged 2,941');
  expect(line).toContain('durable 12,345');
  expect(line).toContain('mirrored 12,300');
  expect(line).toContain('lag 45 records (1.2 s)');
  expect(line).toContain('link up');
});
