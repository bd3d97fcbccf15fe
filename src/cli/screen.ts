import { writeSync } from 'node:fs';
import type { ReadStream, WriteStream } from 'node:tty';

export interface ViewSize {
  readonly columns: number;
  readonly rows: number;
}

/** DEC private modes and CSI sequences, as xterm, the Linux console, tmux and screen know them. */
const ESC = '\u001b[';
const ENTER = `${ESC}?1049h${ESC}?25l${ESC}?7l`; // alternate screen, no cursor, no line wrap
const LEAVE = `${ESC}0m${ESC}?7h${ESC}?25h${ESC}?1049l`;
const HOME = `${ESC}H`;
const CLEAR_LINE = `${ESC}K`;
const CLEAR_BELOW = `${ESC}J`;
/** Synchronized output: a terminal that knows it shows a frame at once; others ignore it. */
const BEGIN_FRAME = `${ESC}?2026h`;
const END_FRAME = `${ESC}?2026l`;

/** What a terminal's input says when its other side is closed. */
const GONE = ['end', 'error', 'close'] as const;

export interface ScreenOptions {
  readonly input: ReadStream;
  readonly output: WriteStream & { readonly fd: number };
  readonly onKey: (key: string) => void;
  readonly onResize: () => void;
  /** The terminal is gone: its window was closed. Nothing can be shown any more. */
  readonly onGone: () => void;
}

/**
 * The terminal while a live view has it: alternate screen, hidden cursor, keys unbuffered. It is
 * given back on `leave`, and also when the process ends by an uncaught error or exit.
 */
export class Screen {
  readonly #options: ScreenOptions;
  #entered = false;
  #shown: readonly string[] = [];
  readonly #onData = (bytes: Buffer): void => {
    for (const key of keysOf(bytes.toString('utf8'))) this.#options.onKey(key);
  };
  readonly #onResize = (): void => {
    this.#shown = [];
    this.#options.onResize();
  };
  readonly #onGone = (): void => {
    if (!this.#entered) return;
    this.#entered = false;
    this.#detach();
    this.#options.onGone();
  };
  readonly #onExit = (): void => this.#restore();

  constructor(options: ScreenOptions) {
    this.#options = options;
  }

  enter(): void {
    if (this.#entered) return;
    this.#entered = true;
    const { input, output } = this.#options;
    process.once('exit', this.#onExit);
    input.setRawMode(true);
    input.on('data', this.#onData);
    for (const event of GONE) input.on(event, this.#onGone);
    output.on('error', this.#onGone);
    input.resume();
    output.on('resize', this.#onResize);
    output.write(ENTER);
  }

  /** Gives the terminal back; calling it again does nothing. */
  leave(): void {
    if (!this.#entered) return;
    this.#detach();
    this.#restore();
  }

  #detach(): void {
    const { input, output } = this.#options;
    input.off('data', this.#onData);
    for (const event of GONE) input.off(event, this.#onGone);
    output.off('error', this.#onGone);
    input.pause();
    output.off('resize', this.#onResize);
    process.off('exit', this.#onExit);
  }

  size(): ViewSize {
    const { columns, rows } = this.#options.output;
    // A pty that nobody gave a size says 0 by 0.
    return { columns: columns > 0 ? columns : 80, rows: rows > 0 ? rows : 24 };
  }

  /** Draws over what is there: only lines that changed are written, so nothing flickers. */
  show(lines: readonly string[]): void {
    if (!this.#entered) return;
    const changed = frameOf(this.#shown, lines);
    this.#shown = [...lines];
    if (changed !== '') this.#options.output.write(BEGIN_FRAME + changed + END_FRAME);
  }

  #restore(): void {
    if (!this.#entered) return;
    this.#entered = false;
    this.#shown = [];
    const { input, output } = this.#options;
    try {
      input.setRawMode(false);
      // Synchronous: it must be out even when the process ends right now.
      writeSync(output.fd, LEAVE);
    } catch {
      // The terminal is gone (its window was closed): there is nothing to give back.
    }
  }
}

/**
 * What turns a screen that shows `before` into one that shows `after`. Lines are cleared before
 * they are written: after a line of full width the cursor stands on its last character.
 */
export function frameOf(before: readonly string[], after: readonly string[]): string {
  let frame = before.length === 0 ? HOME + CLEAR_BELOW : '';
  for (const [index, line] of after.entries()) {
    if (line !== before[index]) frame += `${ESC}${index + 1};1H${CLEAR_LINE}${line}`;
  }
  if (after.length < before.length) frame += `${ESC}${after.length + 1};1H${CLEAR_BELOW}`;
  return frame;
}

/**
 * Single keys out of what a terminal sent: characters as they are, `ctrl-c` and `ctrl-d` by name.
 * Escape sequences (arrows, mouse, paste marks) are left out, so that their letters are no keys.
 */
export function keysOf(text: string): string[] {
  // oxlint-disable-next-line no-control-regex -- escape sequences begin with a control character
  const plain = text.replaceAll(/\u001b(?:\[[\d;?<>=]*[ -/]*[@-~]|O.|.)?/gsu, '');
  return Array.from(plain).flatMap((character) => {
    if (character === '\u0003') return ['ctrl-c'];
    if (character === '\u0004') return ['ctrl-d'];
    return character < ' ' ? [] : [character];
  });
}
