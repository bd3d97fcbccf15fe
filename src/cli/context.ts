import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { Random } from '../random.ts';
import type { Clock } from '../time.ts';
import { isJournal } from './journal-stream.ts';

/** What a command is given of its surroundings, so that none reaches for the process itself. */
export interface CliContext {
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly version: string;
  /** What the process ends with when the command returns. */
  exitCode: number;
  /** Why what a command said did not get out; a reader that went away is no reason. */
  outputFailure?: Error;
}

/** Options of every command that has to find a data folder. */
export interface PlaceOptions {
  readonly config?: string | undefined;
  readonly data?: string | undefined;
}

export type Style = Parameters<typeof styleText>[0];

/** Colours the text where a person sees it: on a terminal, and unless NO_COLOR is set. */
export function paint(context: CliContext, style: Style, text: string): string {
  return isColoured(context) ? styleText(style, text, { validateStream: false }) : text;
}

export function isColoured(context: CliContext): boolean {
  if ((context.env['NO_COLOR'] ?? '') !== '') return false;
  if ((context.env['FORCE_COLOR'] ?? '') !== '') return true;
  return context.stdout.isTTY === true && context.env['TERM'] !== 'dumb';
}

export function printLine(context: CliContext, line: string): void {
  context.stdout.write(`${line}\n`, (error) => noteOutput(context, error));
}

/** Nobody hears a reader that went away; a terminal whose window was closed gives EIO. */
export function isWithoutReader(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EPIPE' || error.code === 'EIO';
}

function noteOutput(context: CliContext, error: Error | null | undefined): void {
  if (error === null || error === undefined || isWithoutReader(error)) return;
  context.outputFailure ??= error;
}

const STDERR = 2;
/** What the journal takes as a line's priority (sd-daemon(3)). */
const PRIORITIES = { error: '<3>', warn: '<4>' } as const;

export function printError(
  context: CliContext,
  message: string,
  level: keyof typeof PRIORITIES = 'warn',
): void {
  const priority = isJournal(context, STDERR) ? PRIORITIES[level] : '';
  for (const line of message.split('\n')) context.stderr.write(`${priority}gatelog: ${line}\n`);
}
