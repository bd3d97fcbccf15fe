import { expect, test } from 'vitest';
import { topicMatcher, treatmentBy } from '../../src/mirror/selection.ts';

test.for([
  [['*'], 'telemetry', true],
  [['*'], '_quarantine', false],
  [['_*'], '_quarantine', false],
  [['*'], '_gaps', true],
  [['*'], '_metrics', true],
  [['tele*'], '_metrics', false],
  [['tele*'], '_gaps', false],
  [['_quarantine'], '_quarantine', true],
  [['tele*'], 'telemetry', true],
  [['tele*'], 'a.telemetry', false],
  [['*.raw'], 'line1.raw', true],
  [['*.raw'], 'line1xraw', false],
  [['a*b*c'], 'a-x-b-y-c', true],
  [['a*b*c'], 'abc', true],
  [['a*b*c'], 'acb', false],
  [['a.b'], 'axb', false],
  [['a-b_c', 'd'], 'd', true],
  [[], 'd', false],
] as const)('patterns %j on %s: %s', ([patterns, topic, matches]) => {
  expect(topicMatcher(patterns)(topic)).toBe(matches);
});

test('what is missing is told in full, whatever is sampled', () => {
  const sample = { when: 'always', perMs: 1000, rest: 'ledger' } as const;
  const treatment = treatmentBy([
    { match: '*', class: 'high', drain: 'backlog-first', sample },
    { match: 'other', class: 'bulk', drain: 'backlog-first' },
  ]);
  expect(treatment('telemetry')?.sample).toBe(sample);
  expect(treatment('_gaps')).toEqual({ class: 'high', drain: 'backlog-first' });
});

test('how the gateway is goes behind everything else, unless it is written out', () => {
  const sample = { when: 'always', perMs: 1000, rest: 'ledger' } as const;
  const all = { match: '*', class: 'high', drain: 'backlog-first', sample } as const;
  const own = { match: '_metrics', class: 'alarm', drain: 'newest-first' } as const;
  const behind = { class: 'bulk', drain: 'backlog-first' };
  expect(treatmentBy([all])('_metrics')).toEqual(behind);
  expect(treatmentBy(['*'])('_metrics')).toEqual(behind);
  expect(treatmentBy([own, all])('_metrics')).toMatchObject({ class: 'alarm' });
});
