import { must } from '../assert.ts';

/** Dead entries at the front that are worth moving the rest for. */
const COMPACT_AT = 4096;

/**
 * QoS 0 messages on their way into the log, in arrival order: topics and sizes in arrays, no object
 * per message. The log settles in the same order, so the front is always the next. Kept because
 * nobody sends them again: when the log can't take one, the ledger is told which.
 */
export class UnaskedMessages {
  #topics: string[] = [];
  #bytes: number[] = [];
  #head = 0;

  push(topic: string, bytes: number): void {
    this.#topics.push(topic);
    this.#bytes.push(bytes);
  }

  get frontTopic(): string {
    return must(this.#topics[this.#head], 'the log settles only what waits');
  }

  get frontBytes(): number {
    return this.#bytes[this.#head] ?? 0;
  }

  shift(): void {
    this.#head++;
    if (this.#head === this.#topics.length) {
      this.#topics.length = 0;
      this.#bytes.length = 0;
      this.#head = 0;
    } else if (this.#head >= COMPACT_AT && this.#head * 2 > this.#topics.length) {
      this.#topics = this.#topics.slice(this.#head);
      this.#bytes = this.#bytes.slice(this.#head);
      this.#head = 0;
    }
  }
}
