import { formatDuration } from '../../units.ts';
import type { Paint } from '../demo/text.ts';
import type { Check, Exercise, ExerciseResult } from './exercise.ts';

export type ExerciseVerdict = 'passed' | 'failed' | 'interrupted';

export interface ExerciseReport extends ExerciseResult {
  readonly name: Exercise['name'];
  readonly title: string;
  readonly verdict: ExerciseVerdict;
  readonly tookMs: number;
}

export interface RehearsalReport {
  readonly verdict: ExerciseVerdict;
  readonly folder: string;
  readonly tookMs: number;
  readonly exercises: readonly ExerciseReport[];
}

export function verdictOf(checks: readonly Check[]): ExerciseVerdict {
  return checks.every(({ ok }) => ok) ? 'passed' : 'failed';
}

export function exerciseLines(report: ExerciseReport, paint: Paint): string[] {
  const { title, verdict, done, checks, note, tookMs } = report;
  const good = verdict === 'passed';
  const mark = good ? paint('green', 'pass') : paint('red', verdict === 'failed' ? 'FAIL' : 'left');
  const lines = [`${mark}  ${title} (${formatDuration(tookMs)})`, `      ${done}`];
  for (const { text, ok, detail } of checks) {
    const figures = detail === '' ? '' : `: ${detail}`;
    lines.push(`      ${ok ? paint('green', '✓') : paint('red', '✗')} ${text}${figures}`);
  }
  if (note !== undefined) lines.push(`      note: ${note}`);
  return lines;
}

export function verdictLine({ verdict, tookMs, exercises }: RehearsalReport): string {
  const failed = exercises.filter((one) => one.verdict === 'failed').map(({ name }) => name);
  const time = formatDuration(tookMs);
  if (verdict === 'passed') return `Passed: all ${exercises.length} exercises, in ${time}.`;
  if (verdict === 'failed') return `FAILED: ${failed.join(', ')} (in ${time}).`;
  return `Interrupted after ${time}: what was not finished says nothing.`;
}
