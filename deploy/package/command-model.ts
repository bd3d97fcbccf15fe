import type { Argv } from 'yargs';
import type { CliContext } from '../../src/cli/context.ts';
import { buildParser } from '../../src/cli/program.ts';
import { seededRandom } from '../../src/random.ts';
import { systemClock } from '../../src/time.ts';

/** The command line as its definitions say it, for the manual and for the shells. */
export interface Command {
  /** `gatelog mirror pause`. */
  readonly path: readonly string[];
  /** What stands behind the name: `<topic>`, `[file]`. */
  readonly positionals: readonly { readonly name: string; readonly isNeeded: boolean }[];
  readonly summary: string;
  readonly options: Option[];
  readonly examples: { readonly call: string; readonly text: string }[];
  /** The words below everything else. */
  readonly notes: string[];
  readonly commands: Command[];
}

export interface Option {
  readonly name: string;
  readonly short: string | undefined;
  readonly text: string;
  /** It stands for a word of the call, not for an option. */
  readonly isPositional: boolean;
  readonly takesValue: boolean;
  readonly isNumber: boolean;
  readonly isNeeded: boolean;
  readonly mayRepeat: boolean;
  readonly choices: readonly string[];
  /** As a person would write it; undefined: none, or what everybody expects. */
  readonly standard: string | undefined;
}

interface Definition {
  readonly type?: string;
  readonly string?: boolean;
  readonly number?: boolean;
  readonly array?: boolean;
  readonly alias?: string;
  readonly describe?: string;
  readonly choices?: readonly string[];
  readonly default?: string | number | boolean;
  readonly demandOption?: boolean;
}

const HELP: Option = optionOf('help', { alias: 'h', describe: 'Show help' });
const VERSION: Option = optionOf('version', { describe: 'Show version number' });

/** The program, with all its commands below it. */
export function commandModel(version: string): Command {
  const context: CliContext = {
    stdout: process.stdout,
    stderr: process.stderr,
    env: {},
    workingFolder: '/',
    clock: systemClock,
    random: seededRandom(1),
    version,
    exitCode: 0,
  };
  const program = emptyCommand(['gatelog'], '', '');
  buildParser([], context, recorder(program));
  program.options.push(HELP, VERSION);
  return program;
}

function emptyCommand(path: readonly string[], words: string, summary: string): Command {
  const positionals = [...words.matchAll(/([<[])([^>\]]+)[>\]]/gu)].map((found) => ({
    name: found[2] ?? '',
    isNeeded: found[1] === '<',
  }));
  return { path, positionals, summary, options: [], examples: [], notes: [], commands: [] };
}

/**
 * Takes what the definitions say to yargs. Whatever else they call (checks, what to do in trouble) is no
 * matter here, and answers as yargs does, with itself.
 */
function recorder(into: Command): Argv {
  const calls: Record<string, (...given: never[]) => void> = {
    option: (name: string, definition: Definition) => {
      into.options.push(optionOf(name, definition));
    },
    positional: (name: string, definition: Definition) => {
      into.options.push({ ...optionOf(name, definition), isPositional: true });
    },
    example: (call: string, text: string) => {
      into.examples.push({ call: called(call), text });
    },
    epilogue: (text: string) => {
      into.notes.push(called(text));
    },
    command: (words: string, summary: string, build: (inner: Argv) => unknown) => {
      const [name = '', ...rest] = words.split(' ');
      const inner = emptyCommand([...into.path, name], rest.join(' '), summary);
      into.commands.push(inner);
      build(recorder(inner));
      inner.options.push(HELP);
    },
    completion: (name: string, summary: string) => {
      into.commands.push(emptyCommand([...into.path, name], '', summary));
    },
  };
  const self: unknown = new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...given: never[]) => {
          calls[String(name)]?.(...given);
          return self;
        },
    },
  );
  return self as Argv;
}

function called(text: string): string {
  return text.replaceAll('$0', 'gatelog');
}

function optionOf(name: string, definition: Definition): Option {
  const { type, alias, choices = [], demandOption = false, array = false } = definition;
  const isNumber = definition.number === true || type === 'number';
  const isString = definition.string === true || type === 'string' || choices.length > 0;
  const takesValue = isNumber || isString || array;
  const standard = definition.default;
  return {
    name,
    short: alias,
    text: definition.describe ?? '',
    isPositional: false,
    takesValue,
    isNumber,
    isNeeded: demandOption,
    mayRepeat: array,
    choices,
    standard: standard === undefined || standard === false ? undefined : String(standard),
  };
}
