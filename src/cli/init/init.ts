import path from 'node:path';
import { ControlClient } from '../../admin/control-client.ts';
import { type LoadedConfig, parseConfig } from '../../agent/config.ts';
import { gatewayOf } from '../../agent/config-forms.ts';
import { ACCESS_LIMITS } from '../../access-limits.ts';
import { GatelogError } from '../../errors.ts';
import type { WayStep } from '../../mirror/way.ts';
import { counted } from '../../words.ts';
import { checkConfig } from '../config-check.ts';
import { type CliContext, printError, printLine } from '../context.ts';
import { wayLine } from '../way-lines.ts';
import type { InitAnswers } from './answers.ts';
import { includedBy, requireFree, requireUntouched, writeAll, type WrittenFile } from './files.ts';
import { answersOf, type InitFlags, type InitSecrets } from './flag-answers.ts';
import { interview } from './interview.ts';
import { nextLines } from './next-lines.ts';
import { askingOn, type Questions } from './questions.ts';
import { accountOf, configText } from './text.ts';
import { trial } from './trial.ts';

export interface InitOptions extends InitFlags {
  /** The file to write. */
  readonly config: string;
  readonly yes: boolean;
  readonly force: boolean;
  readonly test: boolean;
  readonly passwordStdin: boolean;
}

type Input = NodeJS.ReadableStream & { readonly isTTY?: boolean };

/**
 * `gatelog init`: asks, tries what was answered, and writes a configuration with what it names. Exit code 69
 * when something did not answer and nobody said that it be written all the same; then nothing was written.
 */
export async function initialise(
  context: CliContext,
  options: InitOptions,
  input: Input = process.stdin,
): Promise<void> {
  const file = path.resolve(context.workingFolder, options.config);
  await requireFree(file, options.force, context);
  const questions = options.yes ? undefined : questionsOn(context, input);
  const answers = await answersFrom(context, options, questions, input, file);
  await requireUntouched(file, answers, options.force);
  if (options.test) await tryOut(context, configOfAnswers(context, answers, file), questions);
  const included = includedBy(file, context);
  const written = await writeAll(file, answers, context);
  await tell(context, file, answers, written);
  if (included.length === 0) return;
  const left = `${file}.old includes ${included.join(', ')}; the new file does not, so what they say does not count any more`;
  printError(context, `warning: ${left}`);
}

function questionsOn(context: CliContext, input: Input): Questions {
  if (input.isTTY === true) return askingOn(context, input);
  const message =
    'questions are asked on a terminal only; answer with flags and --yes (gatelog init --help)';
  throw new GatelogError('USAGE', message);
}

async function answersFrom(
  context: CliContext,
  options: InitOptions,
  questions: Questions | undefined,
  input: Input,
  file: string,
): Promise<InitAnswers> {
  const data = options.data ?? systemData(file);
  const usualData = data ?? path.join(path.dirname(file), 'gatelog-data');
  const known = await gatewayOn(context, usualData);
  if (questions === undefined) {
    const secrets = options.passwordStdin
      ? secretsIn(await allOf(input), options)
      : { passwords: new Map(), upstreamPassword: undefined };
    return answersOf({ ...options, gateway: options.gateway ?? known, data }, secrets, context);
  }
  questions.say('Enter takes what stands in brackets; Ctrl-C ends it, and nothing is written.');
  const usual = { data: usualData, gateway: known ?? gatewayOf({}) };
  const asked = await interview(questions, options, usual);
  return answersOf(asked.flags, asked.secrets, context);
}

/** Of the log that is there, while its agent runs: it would be refused under another id. */
async function gatewayOn({ workingFolder }: CliContext, data: string): Promise<string | undefined> {
  const client = new ControlClient(path.resolve(workingFolder, data));
  return client.status().then(
    ({ gateway }) => gateway,
    () => undefined,
  );
}

/** Of a configuration for the whole machine. */
function systemData(file: string): string | undefined {
  return file.startsWith('/etc/') ? '/var/lib/gatelog' : undefined;
}

/** A line for each --user in their order, then one for the far side. */
function secretsIn(
  text: string,
  { user = [], kafkaUser, kafkaPasswordFile, upstreamUser, upstreamPasswordFile }: InitFlags,
): InitSecrets {
  const lines = text.split(/\r?\n/u);
  const passwords = new Map(user.map((name, index) => [name, lines[index] ?? '']));
  const missing = user.find((name) => passwords.get(name) === '');
  if (missing !== undefined) {
    const message = `--password-stdin: the password of ${missing} is missing; a line for each --user, then one for --kafka-user or --upstream-user`;
    throw new GatelogError('USAGE', message);
  }
  const isLast =
    (kafkaUser ?? upstreamUser) !== undefined &&
    (kafkaPasswordFile ?? upstreamPasswordFile) === undefined;
  return { passwords, upstreamPassword: isLast ? lines[user.length] : undefined };
}

async function allOf(input: Input): Promise<string> {
  let text = '';
  for await (const chunk of input) {
    text += String(chunk);
    if (text.length > ACCESS_LIMITS.passwordBytes * 64) break;
  }
  return text;
}

/** The variable stands for a file that is not written yet. */
const SECRET = 'GATELOG_INIT_SECRET';

function configOfAnswers(
  { env, workingFolder }: CliContext,
  answers: InitAnswers,
  file: string,
): LoadedConfig {
  const password = accountOf(answers)?.account.password;
  const secret = password !== undefined && 'text' in password ? password.text : '';
  const surroundings = { env: { ...env, [SECRET]: secret }, workingFolder };
  return parseConfig(configText(answers, `env:${SECRET}`, file), file, surroundings);
}

async function tryOut(
  context: CliContext,
  loaded: LoadedConfig,
  questions: Questions | undefined,
): Promise<void> {
  const failed: WayStep[] = [];
  for await (const step of trial(loaded, context.clock)) {
    printLine(context, wayLine(context, step));
    if (step.state === 'failed') failed.push(step);
  }
  if (failed.length === 0) return;
  if (questions !== undefined && (await questions.yes('Write the files all the same', false)))
    return;
  const what = `${counted(failed.length, 'step')} failed`;
  const message = `${what}, and nothing was written; mend it, or write without trying: --no-test`;
  throw new GatelogError('UPSTREAM_UNREACHABLE', message);
}

async function tell(
  context: CliContext,
  file: string,
  { users, listen, acl, kafka, mqtt }: InitAnswers,
  written: readonly WrittenFile[],
): Promise<void> {
  for (const { file: name, what } of written) printLine(context, `wrote ${name}: ${what}`);
  for (const { name, password, isMade } of users) {
    if (!isMade) continue;
    printLine(context, `password of ${name}: ${String(password)} (it is told this once)`);
  }
  await checkConfig(context, file);
  const hasMirror = (kafka ?? mqtt) !== undefined;
  for (const line of nextLines(file, { users, listen, acl, hasMirror })) printLine(context, line);
}
