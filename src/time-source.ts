import { messageOf } from './errors.ts';
import type { Logger } from './telemetry.ts';

/** `mark` differs after each time the clock was set right, for a source that knows; else undefined. */
export type SourceAnswer =
  | {
      readonly says: 'synchronised';
      readonly mark?: string | undefined;
      /** When that was, by the machine's clock of then; undefined: it does not say. */
      readonly atMs?: number | undefined;
    }
  | { readonly says: 'unsynchronised' }
  | { readonly says: 'nothing' };

type Word = Extract<SourceAnswer, { says: 'synchronised' }>;

/** Who can say whether the clock is right. MUST answer soon, and never rejects. */
export interface TimeSource {
  readonly name: string;
  /** Costs a process: asked rarely. Others are asked every second. */
  readonly dear: boolean;
  ask(): Promise<SourceAnswer>;
}

export async function answerOf(source: TimeSource, logger: Logger): Promise<SourceAnswer> {
  try {
    return await source.ask();
  } catch (error) {
    logger.debug({ source: source.name }, messageOf(error));
    return { says: 'nothing' };
  }
}

/** By source: the mark of what it said last. */
export type Marks = ReadonlyMap<string, string>;

/** Whether a clock as it runs now can have shown this time when the word was given. */
export type IsShown = (atMs: number) => boolean;

/** What the sources said, and what of it was said before the clock jumped: that says nothing of the clock after. */
export class SourceWords {
  readonly #heard = new Map<string, Word>();
  /** Given before the clock jumped; undefined: it was confirmed since. */
  #spent: Map<string, string> | undefined;
  /** Replaced whenever one changes. */
  marks: Marks = new Map();

  /** Whether the word counts. The first of a source may be old: it is judged by its time, too. */
  hear(name: string, word: Word, isShown: IsShown): boolean {
    const isFirst = !this.#heard.has(name);
    this.#heard.set(name, word);
    const { mark } = word;
    if (mark !== undefined && this.marks.get(name) !== mark) {
      this.marks = new Map(this.marks).set(name, mark);
    }
    if (isFirst) this.#spendUnlessShown(name, word, isShown);
    return this.counts(name);
  }

  /** Whether the last word of a source counts. */
  counts(name: string): boolean {
    const mark = this.#heard.get(name)?.mark;
    return mark === undefined || this.#spent?.get(name) !== mark;
  }

  jumped(): void {
    this.#spent = new Map(this.marks);
  }

  /** The clock jumped while no process watched; `before`: what an earlier one had heard. */
  jumpedUnseen(before: Marks, isShown: IsShown): void {
    this.#spent = new Map(before);
    this.marks = new Map([...before, ...this.marks]);
    for (const [name, word] of this.#heard) this.#spendUnlessShown(name, word, isShown);
  }

  confirmed(): void {
    this.#spent = undefined;
  }

  #spendUnlessShown(name: string, { mark, atMs }: Word, isShown: IsShown): void {
    if (mark === undefined || atMs === undefined || isShown(atMs)) return;
    this.#spent?.set(name, mark);
  }
}
