import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemClock } from '../../src/time.ts';

export const WAIT_MS = 60_000;

/** A pty made by script(1), into which a test types. */
export class Terminal {
  readonly #child: ChildProcessWithoutNullStreams;
  #ended = false;
  #seen: () => void = () => {};
  output = '';

  constructor(words: readonly string[], folder?: string) {
    const line = words.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
    const whole = `${line}; echo "code $?"; stty -a`;
    this.#child = spawn('/usr/bin/script', ['-qec', whole, '/dev/null'], {
      cwd: folder,
      env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: '1' },
    });
    this.#child.stdout.setEncoding('utf8');
    this.#child.stdout.on('data', (text: string) => {
      this.output += text;
      this.#seen();
    });
    this.#child.once('exit', () => {
      this.#ended = true;
    });
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** Resolves when the pattern stands in the output, which is kept from the beginning. */
  async until(pattern: RegExp): Promise<void> {
    const late = new AbortController();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#seen = () => {
      if (pattern.test(this.output)) resolve(true);
    };
    this.#seen();
    const wait = systemClock.sleep(WAIT_MS, late.signal).then(() => false);
    const met = await Promise.race([promise, wait]);
    late.abort();
    if (!met) throw new Error(`${String(pattern)} did not come:\n${this.output.slice(-4000)}`);
  }

  /** Closes the window, whatever runs in it. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
