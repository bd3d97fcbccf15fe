import { Writable } from 'node:stream';
import { createInterface } from 'node:readline/promises';
import { GatelogError } from '../../errors.ts';
import { type CliContext, printLine } from '../context.ts';

/** What a person is asked through: line by line, so that a serial console will do. */
export interface Questions {
  /** Asks again until `check` finds nothing wrong; an empty line is the usual answer. */
  text(question: Question): Promise<string>;
  choice<const T extends string>(prompt: string, choices: readonly T[], usual: T): Promise<T>;
  yes(prompt: string, usual: boolean): Promise<boolean>;
  /** Without an echo; may be empty. */
  secret(prompt: string): Promise<string>;
  say(text: string): void;
}

export interface Question {
  readonly prompt: string;
  readonly usual?: string | undefined;
  /** What was expected; undefined: it is good. */
  readonly check?: ((answer: string) => string | undefined) | undefined;
}

/** Throws USAGE when the person ends it. */
export function askingOn(context: CliContext, input: NodeJS.ReadableStream): Questions {
  const text = async ({ prompt, usual = '', check }: Question): Promise<string> => {
    const shown = usual === '' ? prompt : `${prompt} [${usual}]`;
    for (;;) {
      const answer = (await askLine(context, input, `${shown}: `, true)).trim() || usual;
      const expected = check?.(answer);
      if (expected === undefined) return answer;
      printLine(context, `  expected ${expected}`);
    }
  };
  const choice = async <const T extends string>(
    prompt: string,
    choices: readonly T[],
    usual: T,
  ): Promise<T> => {
    const expected = choices.join(' or ');
    const chosen = (given: string): T | undefined =>
      choices.find((one) => one.toLowerCase() === given.toLowerCase());
    const answer = await text({
      prompt: `${prompt} (${expected})`,
      usual,
      check: (given) => (chosen(given) === undefined ? expected : undefined),
    });
    return chosen(answer) ?? usual;
  };
  return {
    text,
    choice,
    yes: async (prompt, usual) =>
      (await choice(prompt, ['yes', 'no'], usual ? 'yes' : 'no')) === 'yes',
    secret: (prompt) => askLine(context, input, `${prompt}: `, false),
    say: (said) => printLine(context, said),
  };
}

/** An interface for each line. Without an echo it writes to nowhere, and the prompt is written for it. */
async function askLine(
  { stdout }: CliContext,
  input: NodeJS.ReadableStream,
  prompt: string,
  isShown: boolean,
): Promise<string> {
  const lines = createInterface({
    input,
    output: isShown ? stdout : nowhere(),
    terminal: isTerminal(input),
    historySize: 0,
  });
  const ended = new Promise<never>((_, reject) => {
    lines.once('close', () => reject(new GatelogError('USAGE', 'nothing was written')));
  });
  ended.catch(() => {}); // Closed by ourselves it says nothing.
  // Only now: what is typed from here on is not shown by the terminal itself.
  if (!isShown) stdout.write(prompt);
  try {
    return await Promise.race([lines.question(isShown ? prompt : ''), ended]);
  } finally {
    lines.close();
    if (!isShown) stdout.write('\n');
  }
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

function isTerminal(input: NodeJS.ReadableStream): boolean {
  return 'isTTY' in input && input.isTTY === true;
}
