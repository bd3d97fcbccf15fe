import type { WayStep } from '../mirror/way.ts';
import { type CliContext, paint, type Style } from './context.ts';

const MARKS: Readonly<Record<WayStep['state'], { readonly word: string; readonly style: Style }>> =
  {
    good: { word: 'ok', style: 'green' },
    doubtful: { word: 'look', style: 'yellow' },
    failed: { word: 'FAIL', style: 'red' },
  };

/** One line for a step: how it went, its name, what was found. */
export function wayLine(context: CliContext, { name, state, text }: WayStep): string {
  const { word, style } = MARKS[state];
  return `${paint(context, style, word.padEnd(4))}  ${name.padEnd(12)}  ${text}`;
}
