import yargs from 'yargs';
import type { Argv } from 'yargs';
import { exitCodeOf, GatelogError, messageOf } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { systemRandom } from '../random.ts';
import { systemClock } from '../time.ts';
import { productVersion } from '../version.ts';
import { nearest } from '../words.ts';
import { addCommands } from './commands.ts';
import type { CliContext } from './context.ts';
import { printError } from './context.ts';
import { outputFailed } from './output.ts';

/** The command line: arguments → command → exit code. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const context: CliContext = {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    workingFolder: process.cwd(),
    clock: systemClock,
    random: systemRandom,
    version: productVersion(),
    exitCode: 0,
  };
  outliveOutput();
  try {
    await buildParser(argv, context).parseAsync();
    await said(context);
    if (context.outputFailure !== undefined) throw outputFailed(context.outputFailure);
    return context.exitCode;
  } catch (error) {
    return report(error, context);
  }
}

/** Writes end in their order. */
function said({ stdout }: CliContext): Promise<void> {
  return new Promise((resolve) => {
    stdout.write('', () => resolve());
  });
}

/**
 * Who writes hears of a failure by itself: a command ends with it, an agent goes on without its log
 * lines. An error event that nobody takes would end the process.
 */
function outliveOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

/** `parser` takes the definitions; the manual is made from them too (deploy/package). */
export function buildParser(
  argv: readonly string[],
  context: CliContext,
  parser: Argv = yargs([...argv]),
): Argv {
  parser
    .scriptName('gatelog')
    .locale('en')
    .usage('$0 <command>\n\nA Kafka-style log for the gateway: MQTT in, exactly once into Kafka.')
    .version(context.version)
    .help()
    .alias('h', 'help')
    .strict()
    .recommendCommands()
    .completion(
      'completion',
      'Print a completion script for the shell that $SHELL names (bash or zsh)',
    )
    .example('$0 run', 'Run an agent with MQTT on 127.0.0.1:1883 and its data in ./gatelog-data')
    .example('$0 consume telemetry --follow', 'Watch what it logs')
    .example('$0 <command> --help', 'Options and examples of a command')
    .epilogue(
      'GATELOG_CONFIG names the configuration where --config does not; GATELOG_DEBUG=1 adds stack ' +
        'traces to errors; NO_COLOR=1 takes the colours away.',
    )
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .demandCommand(1, 'which command? Say gatelog --help')
    .exitProcess(false)
    .middleware((given) => withOwnConfig(given, parser, context), true)
    .check((given) => refuseRepeats(given, parser), true)
    .fail((message, error) => {
      // A command's own error comes as `error`; a wrong call as a message (a YError or nothing).
      if (error !== undefined && error !== null && error.name !== 'YError') throw error;
      throw new GatelogError('USAGE', sayUsage(message, knownOptions(parser)));
    });
  return addCommands(parser, context);
}

interface ParserOptions {
  readonly key: Record<string, unknown>;
  readonly array: readonly string[];
}

/** The options of the command that was called, as the library knows them (it has no types for it). */
function optionsOf(parser: Argv): ParserOptions {
  return (parser as unknown as { getOptions(): ParserOptions }).getOptions();
}

function knownOptions(parser: Argv): readonly string[] {
  return Object.keys(optionsOf(parser).key);
}

/** Where a command takes a configuration and was given none: the one that this installation names. */
function withOwnConfig(given: Record<string, unknown>, parser: Argv, { env }: CliContext): void {
  const own = env['GATELOG_CONFIG'] ?? '';
  if (own === '' || !knownOptions(parser).includes('config')) return;
  given['config'] ??= own;
}

/** The library makes a list of an option given twice, which no command expects. */
function refuseRepeats(given: Record<string, unknown>, parser: Argv): true {
  const { array } = optionsOf(parser);
  for (const name of knownOptions(parser)) {
    if (!Array.isArray(given[name]) || array.includes(name)) continue;
    throw new GatelogError('USAGE', `--${name} is given more than once; give it once`);
  }
  return true;
}

/** The library's words made into our one line; a mistyped option gets the near one. */
function sayUsage(message: string | undefined, options: readonly string[]): string {
  const text = (message ?? 'this is not how the command is called').replaceAll('\n', ' ');
  if (text.startsWith('Not enough non-option arguments')) {
    return 'an argument is missing; --help shows how the command is called';
  }
  const unknown = /^Unknown arguments?: ([^, ]+)/u.exec(text)?.[1];
  const near = unknown === undefined ? undefined : nearest(unknown, options);
  const first = text.charAt(0).toLowerCase() + text.slice(1);
  return near === undefined ? first : `${first} (did you mean --${near}?)`;
}

/** Codes whose messages say all that a person needs; the cause would only repeat it in code. */
const WHOLE_MESSAGES: ReadonlySet<ErrorCode> = new Set([
  'AGENT_NOT_RUNNING',
  'CONFIG_INVALID',
  'LISTEN_FAILED',
  'NOT_FOUND',
  'STORE_CORRUPT',
  'STORE_FAILING',
  'STORE_FORBIDDEN',
  'STORE_FOREIGN',
  'STORE_FORMAT_NEWER',
  'STORE_FULL',
  'STORE_LOCKED',
  'STORE_MISSING',
  'STORE_READ_ONLY',
  'STORE_SUSPECT',
  'STORE_UNAVAILABLE',
  'USAGE',
]);

function report(error: unknown, context: CliContext): number {
  const isWhole = error instanceof GatelogError && WHOLE_MESSAGES.has(error.code);
  printError(context, isWhole ? error.message : messageOf(error), 'error');
  if (context.env['GATELOG_DEBUG'] === '1' && error instanceof Error) {
    context.stderr.write(`${String(error.stack)}\n`);
  }
  return exitCodeOf(error instanceof GatelogError ? error.code : 'INTERNAL');
}
