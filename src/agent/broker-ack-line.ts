interface Held {
  code: number;
  readonly last: number | undefined;
  ready: boolean;
}

/** How many acknowledgements of all connections wait for sessions to be on the disk. */
export class HeldAcks {
  #count = 0;
  #waiting: (() => void)[] = [];

  change(by: number): void {
    this.#count += by;
    if (this.#count > 0) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when there are none. */
  none(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** Where acknowledgements leave. */
export interface AckOutlet {
  acknowledge(code: number, last: number | undefined): void;
}

/**
 * Acknowledgements of one connection whose records are durable, in order. One whose message is also
 * kept for a session waits here until that is durable too, and those after it behind it.
 */
export class AckLine {
  readonly #out: AckOutlet;
  readonly #counted: HeldAcks;
  #line: Held[] = [];

  constructor(counted: HeldAcks, out: AckOutlet) {
    this.#counted = counted;
    this.#out = out;
  }

  get size(): number {
    return this.#line.length;
  }

  push(code: number, last: number | undefined): void {
    if (this.#line.length === 0) this.#out.acknowledge(code, last);
    else this.#add({ code, last, ready: true });
  }

  /** Returns what lets it go; it may mark the code by then. */
  hold(code: number, last: number | undefined): (mark?: number) => void {
    const held = { code, last, ready: false };
    this.#add(held);
    return (mark = 0) => {
      held.code += mark;
      held.ready = true;
      this.#advance();
    };
  }

  /** The connection ended: nothing more leaves. */
  clear(): void {
    this.#counted.change(-this.#line.length);
    this.#line = [];
  }

  #add(held: Held): void {
    this.#line.push(held);
    this.#counted.change(1);
  }

  #advance(): void {
    let passed = 0;
    for (const { code, last, ready } of this.#line) {
      if (!ready) break;
      this.#out.acknowledge(code, last);
      passed++;
    }
    this.#line = this.#line.slice(passed);
    this.#counted.change(-passed);
  }
}
