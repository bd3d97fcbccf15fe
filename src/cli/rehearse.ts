import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { ControlClient } from '../admin/control-client.ts';
import { GatelogError, messageOf } from '../errors.ts';
import { TRIAL_LIMITS } from '../trial-limits.ts';
import { holdProcess } from '../time.ts';
import { formatDuration, parseDuration } from '../units.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { isColoured, printLine } from './context.ts';
import { colours, noColours, type Paint } from './demo/text.ts';
import { Interrupt } from './output.ts';
import { dataFolderOf } from './place.ts';
import { clockExercise } from './rehearse/clock.ts';
import { diskExercise } from './rehearse/disk.ts';
import type { Exercise } from './rehearse/exercise.ts';
import { killExercise } from './rehearse/kill.ts';
import { linkExercise } from './rehearse/link.ts';
import { powerExercise } from './rehearse/power.ts';
import {
  exerciseLines,
  type ExerciseReport,
  type RehearsalReport,
  verdictLine,
  verdictOf,
} from './rehearse/report.ts';

export interface RehearseOptions extends PlaceOptions {
  readonly in?: string | undefined;
  readonly for?: string | undefined;
  readonly only?: readonly string[] | undefined;
  readonly json: boolean;
}

export const EXERCISES: readonly Exercise[] = [
  killExercise,
  powerExercise,
  diskExercise,
  clockExercise,
  linkExercise,
];

const INTERRUPTED = 130;

/**
 * `gatelog rehearse`: breaks agents of its own on this box, in a scratch folder beside the data
 * folder, and says whether what was promised held. Exit code 0 when it did, 1 when not, 130 when
 * somebody interrupted it. Nothing of it is left behind, and the data folder is not touched.
 */
export async function rehearse(context: CliContext, options: RehearseOptions): Promise<void> {
  const forMs = durationOf(options.for);
  const exercises = chosen(options.only);
  const scratch = await makeScratch(context, options);
  const interrupt = new Interrupt();
  const hold = holdProcess();
  try {
    await new Rehearsal(context, options, { scratch, forMs, exercises }).run(interrupt.signal);
  } finally {
    await rm(scratch, { recursive: true, force: true, maxRetries: 10 });
    interrupt.release();
    hold.cancel();
  }
}

function durationOf(text: string | undefined): number {
  if (text === undefined) return TRIAL_LIMITS.rehearseMs;
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0 && ms <= TRIAL_LIMITS.rehearseMsMax) return ms;
  const most = formatDuration(TRIAL_LIMITS.rehearseMsMax);
  throw new GatelogError(
    'USAGE',
    `--for: expected a duration such as 30s or 5m, up to ${most}, found "${text}"`,
  );
}

function chosen(names: readonly string[] | undefined): readonly Exercise[] {
  if (names === undefined || names.length === 0) return EXERCISES;
  const known = EXERCISES.map(({ name }) => name).join(', ');
  for (const name of names) {
    if (EXERCISES.some((exercise) => exercise.name === name)) continue;
    throw new GatelogError('USAGE', `--only: expected some of ${known}, found "${name}"`);
  }
  return EXERCISES.filter(({ name }) => names.includes(name));
}

/** On the disk that the data folder is on, unless another is asked for. */
async function makeScratch(context: CliContext, options: RehearseOptions): Promise<string> {
  const below =
    options.in === undefined
      ? path.dirname(dataFolderOf(context, options))
      : path.resolve(context.workingFolder, options.in);
  try {
    return await mkdtemp(path.join(below, 'gatelog-rehearsal-'));
  } catch (error) {
    throw new GatelogError(
      'STORE_UNAVAILABLE',
      `no scratch folder can be made in ${below} (${messageOf(error)}): name a folder on the ` +
        'disk that gatelog is to use, in which you may write, with --in DIR',
      { cause: error },
    );
  }
}

interface Settings {
  readonly scratch: string;
  readonly forMs: number;
  readonly exercises: readonly Exercise[];
}

function notRun({ name, title }: Exercise): ExerciseReport {
  return { name, title, verdict: 'not run', tookMs: 0, done: '', checks: [] };
}

class Rehearsal {
  readonly #context: CliContext;
  readonly #json: boolean;
  readonly #settings: Settings;
  readonly #paint: Paint;

  constructor(context: CliContext, { json }: RehearseOptions, settings: Settings) {
    this.#context = context;
    this.#json = json;
    this.#settings = settings;
    this.#paint = isColoured(context) ? colours : noColours;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { scratch, forMs, exercises } = this.#settings;
    const { clock } = this.#context;
    const fromMs = clock.monotonicMs();
    this.#say(
      `Rehearsing for ${formatDuration(forMs)} in ${path.dirname(scratch)}: agents of our own, ` +
        'no data of yours. Ctrl-C ends it.',
    );
    const reports: ExerciseReport[] = [];
    const shares = exercises.reduce((sum, { share }) => sum + share, 0);
    for (const exercise of exercises) {
      const report = signal.aborted
        ? notRun(exercise)
        : await this.#perform(exercise, (forMs * exercise.share) / shares, signal);
      reports.push(report);
      this.#say('');
      for (const line of exerciseLines(report, this.#paint)) this.#say(line);
    }
    const failed = reports.some(({ verdict }) => verdict === 'failed');
    const whole: RehearsalReport = {
      verdict: failed ? 'failed' : signal.aborted ? 'interrupted' : 'passed',
      folder: path.dirname(scratch),
      tookMs: Math.round(clock.monotonicMs() - fromMs),
      exercises: reports,
    };
    this.#say('');
    this.#say(verdictLine(whole));
    if (this.#json) printLine(this.#context, JSON.stringify(whole));
    if (whole.verdict === 'failed') this.#context.exitCode = 1;
    if (whole.verdict === 'interrupted') this.#context.exitCode = INTERRUPTED;
  }

  async #perform(exercise: Exercise, forMs: number, signal: AbortSignal): Promise<ExerciseReport> {
    const { clock, random, env } = this.#context;
    const { name, title } = exercise;
    const fromMs = clock.monotonicMs();
    const folder = path.join(this.#settings.scratch, name);
    const { NODE_OPTIONS: _debugger, ...childEnv } = env;
    const ask = (dataFolder: string): ReturnType<ControlClient['status']> =>
      new ControlClient(dataFolder).status();
    const settings = { folder, forMs, clock, random, env: childEnv, signal, ask };
    try {
      const result = await exercise.run(settings);
      const verdict = signal.aborted ? 'interrupted' : verdictOf(result.checks);
      return { name, title, verdict, tookMs: elapsed(), ...result };
    } catch (error) {
      if (signal.aborted) {
        const broken = { done: `broken off: ${messageOf(error)}`, checks: [] };
        return { name, title, verdict: 'interrupted', tookMs: elapsed(), ...broken };
      }
      const text = 'it could be carried out to its end';
      const checks = [{ text, ok: false, detail: messageOf(error) }];
      return { name, title, verdict: 'failed', tookMs: elapsed(), done: 'broken off', checks };
    }
    function elapsed(): number {
      return Math.round(clock.monotonicMs() - fromMs);
    }
  }

  /** For a person; with --json only the report is printed. */
  #say(line: string): void {
    if (!this.#json) printLine(this.#context, line);
  }
}
