import { must } from '../assert.ts';
import type { LivePacket } from './broker-aedes.ts';

/** Dead entries at the front that are worth moving the rest for. */
const COMPACT_AT = 1024;

/**
 * Acknowledgements that wait for the log, in arrival order: numbers in arrays, no object per
 * message. The log settles in the same order, so the front is always the next.
 */
export class PendingAcks {
  #codes: number[] = [];
  #live: (LivePacket | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#codes.length - this.#head;
  }

  push(code: number, live: LivePacket | undefined): void {
    this.#codes.push(code);
    this.#live.push(live);
  }

  get frontCode(): number {
    return must(this.#codes[this.#head], 'the log settles only what waits');
  }

  get frontLive(): LivePacket | undefined {
    return this.#live[this.#head];
  }

  shift(): void {
    this.#live[this.#head] = undefined;
    this.#head++;
    if (this.#head === this.#codes.length) {
      this.#codes.length = 0;
      this.#live.length = 0;
      this.#head = 0;
    } else if (this.#head >= COMPACT_AT && this.#head * 2 > this.#codes.length) {
      this.#codes = this.#codes.slice(this.#head);
      this.#live = this.#live.slice(this.#head);
      this.#head = 0;
    }
  }
}
