import { formatDuration } from '../../units.ts';
import { counted } from '../../words.ts';
import type { Paint, Style } from '../demo/text.ts';
import type { Check, Exercise, ExerciseResult } from './exercise.ts';

/** `not run`: somebody interrupted the rehearsal before its turn came. */
export type ExerciseVerdict = 'passed' | 'failed' | 'interrupted' | 'not run';

export interface ExerciseReport extends ExerciseResult {
  readonly name: Exercise['name'];
  readonly title: string;
  readonly verdict: ExerciseVerdict;
  readonly tookMs: number;
}

export interface RehearsalReport {
  readonly verdict: Exclude<ExerciseVerdict, 'not run'>;
  readonly folder: string;
  readonly tookMs: number;
  readonly exercises: readonly ExerciseReport[];
}

export function verdictOf(checks: readonly Check[]): ExerciseVerdict {
  return checks.every(({ ok }) => ok) ? 'passed' : 'failed';
}

const MARKS: Readonly<Record<ExerciseVerdict, readonly [Style, string]>> = {
  passed: ['green', 'pass'],
  failed: ['red', 'FAIL'],
  interrupted: ['yellow', 'left'],
  'not run': ['dim', 'skip'],
};

export function exerciseLines(report: ExerciseReport, paint: Paint): string[] {
  const { title, verdict, done, checks, note, tookMs } = report;
  const mark = paint(...MARKS[verdict]);
  if (verdict === 'not run') return [`${mark}  ${title}: not run`];
  const lines = [`${mark}  ${title} (${formatDuration(tookMs)})`, `      ${done}`];
  for (const { text, ok, detail } of checks) {
    const figures = detail === '' ? '' : `: ${detail}`;
    // What does not hold half-way may hold at the end.
    if (ok) lines.push(`      ${paint('green', '✓')} ${text}${figures}`);
    else if (verdict === 'interrupted')
      lines.push(`      ${paint('dim', '–')} ${text}: interrupted`);
    else lines.push(`      ${paint('red', '✗')} ${text}${figures}`);
  }
  if (note !== undefined) lines.push(`      note: ${note}`);
  return lines;
}

export function verdictLine({ verdict, tookMs, exercises }: RehearsalReport): string {
  const failed = exercises.filter((one) => one.verdict === 'failed').map(({ name }) => name);
  const time = formatDuration(tookMs);
  if (verdict === 'passed') return `Passed: ${counted(exercises.length, 'exercise')}, in ${time}.`;
  if (verdict === 'failed') return `FAILED: ${failed.join(', ')} (in ${time}).`;
  return `Interrupted after ${time}: what was not finished says nothing.`;
}
