import { expect, test } from 'vitest';
import { noColours } from '../../../src/cli/demo/text.ts';
import {
  exerciseLines,
  type ExerciseReport,
  verdictLine,
  verdictOf,
} from '../../../src/cli/rehearse/report.ts';

const good = { text: 'it holds', ok: true, detail: '12 of 12' };
const bad = { text: 'nothing is lost', ok: false, detail: '3 missing' };
const report: ExerciseReport = {
  name: 'kill',
  title: 'kill -9 under load',
  verdict: 'failed',
  tookMs: 12_000,
  done: 'killed 6 times',
  checks: [good, { ...bad, detail: '' }],
  note: 'as far as it goes',
};

test('one check that does not hold fails an exercise', () => {
  expect(verdictOf([good, good])).toBe('passed');
  expect(verdictOf([good, bad])).toBe('failed');
});

test('an exercise says what was done, what was checked, and how far it goes', () => {
  expect(exerciseLines(report, noColours)).toEqual([
    'FAIL  kill -9 under load (12s)',
    '      killed 6 times',
    '      ✓ it holds: 12 of 12',
    '      ✗ nothing is lost',
    '      note: as far as it goes',
  ]);
});

test('the last line is the verdict', () => {
  const whole = { folder: '/tmp', tookMs: 60_000, exercises: [report] };
  expect(verdictLine({ ...whole, verdict: 'failed' })).toBe('FAILED: kill (in 1m).');
  expect(verdictLine({ ...whole, verdict: 'passed' })).toBe('Passed: 1 exercise, in 1m.');
  expect(verdictLine({ ...whole, verdict: 'interrupted' })).toContain('says nothing');
});

test('what was interrupted has not failed, and what was not begun has no checks', () => {
  const left = { ...report, verdict: 'interrupted', checks: [good, bad] } as const;
  expect(exerciseLines(left, noColours).slice(0, 4)).toEqual([
    'left  kill -9 under load (12s)',
    '      killed 6 times',
    '      ✓ it holds: 12 of 12',
    '      – nothing is lost: interrupted',
  ]);
  expect(exerciseLines({ ...left, verdict: 'not run' }, noColours)).toEqual([
    'skip  kill -9 under load: not run',
  ]);
});
