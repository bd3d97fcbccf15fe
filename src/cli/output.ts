import { GatelogError, messageOf } from '../errors.ts';
import { type CliContext, isWithoutReader } from './context.ts';

/** Whoever read our output has gone away (`gatelog consume … | head`): the end, not an error. */
export class OutputGone extends Error {
  override readonly name = 'OutputGone';
}

/** Waits when the reader of our output is slow. Throws OutputGone, and OUTPUT_FAILED. */
export function writeOut(context: CliContext, text: string): Promise<void> {
  const { stdout } = context;
  return new Promise((resolve, reject) => {
    stdout.write(text, (error) => {
      if (error === null || error === undefined) resolve();
      else if (isWithoutReader(error))
        reject(new OutputGone('the reader of the output is gone', { cause: error }));
      else reject(outputFailed(error));
    });
  });
}

export function outputFailed(error: Error): GatelogError {
  const message = `the output could not be written: ${messageOf(error)}`;
  return new GatelogError('OUTPUT_FAILED', message, { cause: error });
}

/** SIGINT and SIGTERM as an AbortSignal, for commands that run until they are told to stop. */
export class Interrupt {
  readonly #controller = new AbortController();
  readonly #abort = (): void => this.#controller.abort();

  constructor() {
    process.once('SIGINT', this.#abort);
    process.once('SIGTERM', this.#abort);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  release(): void {
    process.off('SIGINT', this.#abort);
    process.off('SIGTERM', this.#abort);
  }
}
