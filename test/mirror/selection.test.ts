import { expect, test } from 'vitest';
import { topicMatcher } from '../../src/mirror/selection.ts';

test.for([
  [['*'], 'telemetry', true],
  [['*'], '_quarantine', false],
  [['_*'], '_quarantine', false],
  [['*'], '_gaps', true],
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
